"""
What is written to disk: `store.py` the documents of the file store, `last_seen.py` what was seen of each keyset.

Every file but the locks of `lock.py` is written through `atomic.py` and read whole. Elsewhere, but through
`atomic.py` too, `adapters/jwks/file.py` writes the JWKS and `adapters/vault/login/attempts.py` counts refused logins.
"""
