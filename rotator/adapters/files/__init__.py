"""
How files get to disk. What is kept of a keyset, and by whom: `last_seen.py`; of its clock: `clock_memory.py`.

`store.py` has the documents of the file store. Every file but the locks of `lock.py` is written through `atomic.py` and
read whole. Elsewhere, but through `atomic.py` too, `adapters/jwks/file.py` writes the JWKS,
`adapters/vault/login/attempts.py` counts refused logins, and `daemon/instance.py` says how the last reload ended.
"""
