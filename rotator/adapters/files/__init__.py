"""
Documents and state as files on this host.
"""
