"""
What is taken out of a text by its shape alone, and what stays. Secrets of this process: see test_logs.
"""

import base64
import json

import pytest

from rotator.model.secret import SecretText
from rotator.telemetry.redaction import MIN_LIVE, REDACTED, redact
from tests.support.publications import pair

PRIVATE = pair(1).private
assert PRIVATE is not None
PEM = PRIVATE.reveal()
BODY = PEM.splitlines()[1]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"x{PEM}y", "x[redacted]\ny"),
        (repr(PEM), "'[redacted]\\n'"),
        (json.dumps({"pem": PEM}), '{"pem": "[redacted]\\n"}'),
        (str(PEM.splitlines()), "['[redacted]']"),
        (PEM[:200], "[redacted]"),
        (base64.b64encode(PEM.encode()).decode(), "[redacted]"),
        ("token hvs.CAESIabcdefgh.", "token [redacted]."),
        ("hvb.AAAAAQabc hvr.AAAAAQabc", "[redacted] [redacted]"),
        ("s.abcdefghijklmnopqrstuvwx", "[redacted]"),
        ("ab" * 32, "[redacted]"),
        ("AB" * 40, "[redacted]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "[redacted]"),
        ('{"kty": "oct", "k": "c2hvcnQ"}', '{"kty": "oct", "k": "[redacted]"}'),
        ("{'d': 'c2hvcnQ', 'n': 'public'}", "{'d': '[redacted]', 'n': 'public'}"),
        ("Ab1-_" * 20, "[redacted]"),
    ],
)
def test_key_material_is_known_by_its_shape(text: str, left: str) -> None:
    """Nothing of it is left, and what stands around it is."""
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/secret/data/rotator/keys/web",
        "0f" * 16,
        "3b241101-e2bb-4255-8caf-4136c566a962",
        "XjLmUM2i8nAvu3M58-h4Fh9Gy58yxW9Tp6MyNaUoaDg",
        "s.short",
        '{"kid": "d", "deadline": "soon"}',
        '  File "/opt/' + "/".join(["rotator"] * 14) + '/client.py", line 1',
        "",
    ],
)
def test_what_operators_need_stays(text: str) -> None:
    """Paths, kids, UUIDs and words."""
    assert redact(text) == text


def test_a_secret_alive_in_this_process_is_known_by_its_value() -> None:
    """As it is, escaped, as base64 or as hexadecimal; it is forgotten with its last owner."""
    secret = SecretText('päss "word" \\ 1')
    shapes = [
        secret.reveal(),
        json.dumps(secret.reveal()),
        repr(secret.reveal().encode()),
        base64.b64encode(secret.reveal().encode()).decode(),
        secret.reveal().encode().hex(),
    ]
    assert [REDACTED in redact(f"<{shape}>") for shape in shapes] == [True] * 5
    assert "word" not in "".join(redact(f"<{shape}>") for shape in shapes)


def test_a_very_short_secret_is_left() -> None:
    """Taking every "a" out of a log would hide nothing and spoil all."""
    secret = SecretText("a" * (MIN_LIVE - 1))
    assert redact(f"<{secret.reveal()}>") == f"<{'a' * (MIN_LIVE - 1)}>"
