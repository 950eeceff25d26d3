"""
TLS for test servers: a certificate of an authority that only the test knows.
"""

import ssl
from pathlib import Path

import trustme


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """
    Make an authority and its certificate for *name*; return the authority's file in *folder*, and a server's context.
    """
    authority = trustme.CA()
    file = folder / f"{name}.pem"
    authority.cert_pem.write_to_path(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return file, context
