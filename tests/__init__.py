"""
The tests of rotator.
"""
