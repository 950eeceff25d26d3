"""
Formats: values to and from what is stored and sent. Pure.
"""
