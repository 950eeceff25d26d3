"""
The public document (`jwks/`): the JWKS and the deny-list, for verifiers. Pure.
"""

from dataclasses import replace

from rotator.documents.header import SCHEMA, check_header, decode_revoked, encode_revocation, sequence_of
from rotator.documents.jwk import jwks_of
from rotator.documents.seal import NEVER_SEALED, SEAL, Sealing
from rotator.errors import DocumentError
from rotator.model.document import Fields
from rotator.model.keyset import Keyset
from rotator.model.publication import Jwks, PublicDocument

WELL_KNOWN = "well_known"


def public_document(keyset: Keyset, sealing: Sealing = NEVER_SEALED, *, well_known: bool = False) -> PublicDocument:
    """
    Return what is published of *keyset*: its public keys and its deny-list, under the seal of *sealing*.
    """
    document = PublicDocument(keyset.name, keyset.epoch, keyset.sequence, jwks_of(keyset), keyset.revoked, well_known)
    return replace(document, seal=sealing.seal(encode_public(document)).get(SEAL, ""))


def encode_public(document: PublicDocument) -> Fields:
    """
    Return the fields of the public document; the reasons of revocations are left out.
    """
    fields = {
        "schema": str(SCHEMA),
        "keyset": document.keyset,
        "epoch": document.epoch,
        "sequence": str(document.sequence),
        "jwks": document.jwks,
        "revoked": [encode_revocation(revocation) for revocation in document.revoked],
    }
    if document.well_known:
        fields |= {WELL_KNOWN: "true"}
    return {**fields, SEAL: document.seal} if document.seal else fields


def decode_public(fields: Fields, name: str) -> PublicDocument:
    """
    Return the public document of *name*; raises DocumentError if it is damaged, of a newer schema or another keyset's.
    """
    try:
        check_header(fields, name, "public document")
        return PublicDocument(
            name,
            str(fields["epoch"]),
            sequence_of(fields),
            Jwks(str(fields["jwks"])),
            decode_revoked(fields),
            is_well_known(fields),
            str(fields.get(SEAL) or ""),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DocumentError(f"{name}: the public document is not rotator's, or damaged") from error


def is_well_known(fields: Fields) -> bool:
    """
    Return whether a public document, which may be anything, says that its keyset is in the combined set.
    """
    return fields.get(WELL_KNOWN) == "true"
