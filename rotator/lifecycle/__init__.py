"""
The rules of a key's life, as pure functions of values.
"""
