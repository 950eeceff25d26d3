"""
Logging in to Vault, a file for each way. For a new one (Kubernetes, JWT) copy `approle.py`; `method.py` has the steps.
"""
