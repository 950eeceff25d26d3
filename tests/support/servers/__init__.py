"""
Real servers for the tests: Vault (or OpenBao) and Redis, each on a loopback port of its own.
"""
