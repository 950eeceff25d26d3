"""
Values, frozen: keysets, keys, policies and what is said of them. No I/O, no clock, no randomness.
"""
