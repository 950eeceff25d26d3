"""
Logging in to Vault, a file for each way to do it.
"""
