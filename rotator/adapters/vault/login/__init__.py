"""
Logging in to Vault, a file for each way to do it. A new way (Kubernetes, JWT): `method.py` has the steps.
"""
