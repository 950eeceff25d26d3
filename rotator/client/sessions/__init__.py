"""
Access and refresh tokens, their state, and cookies.
"""
