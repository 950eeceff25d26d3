"""
The places where verifiers find the JWKS.
"""
