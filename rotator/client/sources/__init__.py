"""
Where a service reads its keys.
"""
