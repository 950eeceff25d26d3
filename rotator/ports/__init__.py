"""
What rotator asks of the outside world: protocols and nothing else.
"""
