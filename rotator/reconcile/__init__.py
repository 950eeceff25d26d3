"""
One keyset from load to save, and which keyset is next.
"""
