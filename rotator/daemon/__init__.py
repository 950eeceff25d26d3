"""
The process behind `rotator run`: signals, systemd, listeners, health.
"""
