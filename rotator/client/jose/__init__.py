"""
JWS and JWK as services need them.
"""
