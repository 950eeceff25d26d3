"""
What the daemon tells of itself: logs and metrics.
"""
