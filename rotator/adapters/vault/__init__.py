"""
Documents in Vault or OpenBao (KV version 2). The only door to hvac.
"""
