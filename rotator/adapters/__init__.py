"""
The outside world behind the ports: stores, publishers, notifiers.
"""
