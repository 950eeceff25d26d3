"""
What the daemon reports of itself: logs and metrics, without secrets.
"""
