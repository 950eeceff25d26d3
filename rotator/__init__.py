"""
rotator keeps signing keys and shared secrets fresh without one token failing.
"""

__version__ = "0.1.0"
