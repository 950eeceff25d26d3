"""
What is written to disk: `store.py` the documents of the file store, `last_seen.py` what was seen of each keyset.

Every file is written through `atomic.py` and read whole; `lock.py` holds writers apart. Elsewhere, but through
`atomic.py` too, `adapters/jwks/file.py` writes the JWKS and `adapters/vault/login/attempts.py` counts refused logins.
"""
