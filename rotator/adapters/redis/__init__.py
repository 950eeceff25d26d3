"""
Events on Redis. The daemon's only door to redis.
"""
