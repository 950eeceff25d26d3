"""
Frozen values: keysets, keys, policies, publications and events. No I/O, no clock, no randomness.
"""
