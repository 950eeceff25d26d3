"""
Canary secrets thrown at every way into the log: none may come out, and what operators need must.
"""

import base64
import io
import json
import logging
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.adapters.keygen import Keygen
from rotator.documents.jwk import base64url
from rotator.model.algorithms import Algorithm
from rotator.model.reasons import ActivationReason
from rotator.model.secret import SecretText
from rotator.telemetry.logs import MAX_FIELD, MAX_LINE, configure, install_hooks
from rotator.telemetry.redaction import REDACTED, redact

MADE = Keygen().generate(Algorithm.RS256, 2048)
assert MADE.private is not None
PEM = MADE.private.reveal()
HEX = "3f" * 31 + "a7"
IMPORTED = SecretText('correct horse "battery"\n staple \u00fcber \\ canary')
KID = base64url(bytes(range(32)))
OP = str(uuid.uuid4())
JWT = ".".join(base64url(part) for part in (b'{"alg":"HS256"}', b'{"sub":"alice"}', b"0" * 32))
JWK = json.dumps({"kty": "RSA", "kid": KID, "d": base64url(b"1" * 30), "p": base64url(b"2" * 20), "k": "c2hvcnQ"})

CANARIES = {
    "pem": (PEM, PEM.splitlines()[1:-1]),
    "pem in two lines": (PEM[:400], [PEM[100:200]]),
    "der as base64": (
        base64.b64encode(base64.b64decode("".join(PEM.splitlines()[1:-1]))).decode(),
        [PEM.splitlines()[3]],
    ),
    "pem as base64": (base64.b64encode(PEM.encode()).decode(), [base64.b64encode(PEM.encode()).decode()[200:260]]),
    "hmac secret": (HEX, [HEX[:32], HEX[-32:]]),
    "hmac secret as base64": (base64.b64encode(HEX.encode()).decode(), [base64.b64encode(HEX.encode()).decode()[:40]]),
    "imported secret": (IMPORTED.reveal(), ["correct horse", "battery", "staple"]),
    "vault token": ("hvs.CAESIJ4nQ2Zm7canary", ["CAESIJ4nQ2Zm7canary"]),
    "batch token": ("hvb.AAAAAQKcanary", ["AAAAAQKcanary"]),
    "openbao token": ("s.abcdefghijklmnopqrstuvwx", ["abcdefghijklmnopqrstuvwx"]),
    "jwt": (JWT, [JWT.split(".")[1], JWT.split(".")[2]]),
    "private jwk": (JWK, [base64url(b"1" * 30), base64url(b"2" * 20), "c2hvcnQ"]),
}


@dataclass
class Holder:
    """What a careless dataclass shows in its repr."""

    material: str


@dataclass
class Logged:
    """A logger and what it wrote."""

    out: io.StringIO
    form: str

    def __post_init__(self) -> None:
        """Begin to log."""
        self.log = configure("debug", self.form, self.out)

    @property
    def text(self) -> str:
        """Everything written."""
        return self.out.getvalue()

    @property
    def last(self) -> dict[str, object]:
        """The fields of the last line."""
        found: dict[str, object] = json.loads(self.text.splitlines()[-1])
        return found


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    former = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], root.level, logging.raiseExceptions = former
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


@pytest.fixture(params=["json", "console"])
def logged(request: pytest.FixtureRequest) -> Logged:
    """A logger of each format."""
    return Logged(io.StringIO(), request.param)


@pytest.fixture
def lines() -> Logged:
    """A logger of JSON lines."""
    return Logged(io.StringIO(), "json")


def throw(material: str) -> None:
    """Raise what a library might, chained and with notes, from a frame whose locals hold the material."""
    try:
        raise KeyError(material)  # noqa: TRY301 - to be chained
    except KeyError as error:
        raised = ValueError(f"cannot load {material!r}", material.encode())
        raised.add_note(f"while reading {material}")
        raise raised from error


def test_a_secret_within_another_breaks_up_neither() -> None:
    """Both are redacted whole, whichever of them is come across first."""
    whole = SecretText("one battery, two horses, three staples, four corrections")
    within = [SecretText(word) for word in ("battery", "horses", "staples", "corrections", "orrections", "ne batt")]
    assert redact(f"it is {whole.reveal()}!") == f"it is {REDACTED}!"
    assert redact(f"it is {within[0].reveal()}!") == f"it is {REDACTED}!"


@pytest.mark.parametrize("name", CANARIES)
def test_no_canary_comes_out(logged: Logged, name: str) -> None:
    """Not through events, fields, containers, bytes, reprs, exceptions, hooks, threads or libraries."""
    material, pieces = CANARIES[name]
    log = logged.log
    install_hooks(log)
    log.info(f"event with {material}")  # noqa: G004 - the careless way
    log.info("field", value=material, spoken=f"<{material}>", twice=repr(repr(material)))
    log.info(
        "nested",
        value={"a": [{"b": (material, {material})}], material: 1},
        lines=material.split(chr(10)) if "BEGIN" in material else (),
    )
    log.info("raw", data=material.encode(), text=str(material.encode()), view=bytearray(material.encode()))
    log.info("held", holder=Holder(material), holders=[Holder(material)], error=ValueError(material))
    log.bind(bound=material).warning("bound")
    logging.getLogger("urllib3").warning("reading %s", material)
    for act in (log.exception, logging.getLogger("apscheduler").exception):
        try:
            throw(material)
        except ValueError:
            act("failed")
    thread = threading.Thread(target=throw, args=(material,))
    thread.start()
    thread.join()
    try:
        throw(material)
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    written = logged.text
    assert written.count(REDACTED) >= 14
    assert [piece for piece in pieces if piece in written] == []
    if logged.form == "json":
        assert all(json.loads(line) for line in written.splitlines())
    assert written.count("Traceback (most recent call last)") >= 4


def test_what_operators_need_survives() -> None:
    """Kids, UUIDs, names, moments, paths and addresses are left as they are."""
    path = "/opt/" + "/".join(["rotator"] * 14) + "/adapters/vault.py"
    for text in (
        KID,
        "0f" * 16,
        OP,
        f"{OP}/rotator.key.published/{KID}",
        path,
        "https://vault.example.org:8200/v1/sys",
    ):
        assert redact(f'{{"x": "{text}", "k8s": 1}}') == f'{{"x": "{text}", "k8s": 1}}'
    assert redact("2026-01-01T00:00:00Z next still propagating") == "2026-01-01T00:00:00Z next still propagating"


@given(st.text(min_size=8, max_size=60))
def test_a_living_secret_is_redacted_whatever_it_is_made_of(text: str) -> None:
    """Plain, as repr, as JSON, and as JSON of a repr."""
    held = SecretText(text)
    for line in (
        text,
        repr(text),
        json.dumps(text),
        json.dumps(repr(text)),
        repr(repr(text)),
        repr(text.encode()),
        ascii(text),
    ):
        told = redact(f"<{line}>")
        assert told.count(REDACTED) == 1
        assert len(told) <= len(f"<b'\\'{REDACTED}\\''>"), told
    assert held.reveal() == text


@pytest.mark.parametrize("glued", ["\\n{}", "x{}y", "b'{}'", "{}{}"])
def test_a_secret_is_found_whatever_stands_beside_it(glued: str) -> None:
    """An escaped line break before it, or letters around it, do not hide it."""
    assert HEX[:32] not in redact(glued.replace("{}", HEX))


def test_fields_are_rendered_for_machines(lines: Logged) -> None:
    """Moments are RFC 3339, durations seconds, reasons their words, bytes a count; the usual three stand first."""
    lines.log.info(
        "key_activated",
        at=datetime(2026, 1, 2, tzinfo=UTC),
        wait=timedelta(minutes=1),
        reason=ActivationReason.FIRST,
        raw=b"12",
    )
    told = lines.last
    assert list(told)[:3] == ["timestamp", "level", "event"]
    assert datetime.fromisoformat(str(told["timestamp"])).utcoffset() == timedelta(0)
    assert (told["level"], told["event"]) == ("info", "key_activated")
    assert told["at"] == "2026-01-02T00:00:00Z"
    assert (told["wait"], told["reason"], told["raw"]) == (60.0, "first key", "(2 bytes)")


def test_levels(lines: Logged) -> None:
    """What is below the level is not written; libraries are heard from WARNING up."""
    quiet = configure("error", "json", lines.out)
    quiet.warning("no")
    quiet.error("yes")
    logging.getLogger("apscheduler").info("no")
    logging.getLogger("apscheduler").warning("heard")
    assert [json.loads(line)["event"] for line in lines.text.splitlines()] == ["yes", "heard"]


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "word " * 100_000},
        {f"field{number}": "word " * 1_600 for number in range(20)},
        {f"{number}" * 200: number for number in range(5_000)},
        {"odd": "\x00\u20ac\U0001f511" * 20_000},
        {"nested": [{"deep": list(range(100_000))}]},
    ],
)
def test_a_line_fits_the_journal(lines: Logged, fields: dict[str, object]) -> None:
    """What is too long is cut, and the line says which fields; it stays one line of JSON."""
    lines.log.error("long", **fields)
    assert len(lines.text.encode()) < MAX_LINE
    assert lines.text.count("\n") == 1
    assert lines.last["truncated"]
    assert lines.last["event"] == "long"


def test_a_secret_is_redacted_before_it_is_cut(lines: Logged) -> None:
    """A cut through the middle of a secret leaves no half of it."""
    for shift in range(0, 2_000, 97):
        lines.log.info("cut", text="." * (2_400 + shift) + PEM + "." * 9_000)
    for shift in range(len(HEX)):
        lines.log.info("cut", text="." * (MAX_FIELD // 2 - shift) + HEX + "." * 9_000)
    assert [piece for piece in (*PEM.splitlines()[1:-1], HEX[:16]) if piece in lines.text] == []


def test_logging_never_raises(lines: Logged) -> None:
    """Not for a value that cannot be shown, one that holds itself, half a surrogate, nor for a closed stream."""

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    ring: list[object] = []
    ring.append(ring)
    lines.log.info("odd", value=Odd(), ring=ring, half="\ud800")
    assert lines.last["value"] == "(Odd)"
    console = Logged(io.StringIO(), "console")
    console.log.info("odd", half="\ud800")
    assert "odd" in console.text
    lines.out.close()
    lines.log.info("unheard")


def test_the_format_follows_the_terminal() -> None:
    """Auto means JSON unless a person looks at a terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    configure("info", "auto", terminal).info("hello", keyset="web")
    assert not terminal.getvalue().startswith("{")
    plain = Logged(io.StringIO(), "auto")
    plain.log.info("hello", keyset="web")
    assert plain.last["keyset"] == "web"


def test_hooks_tell_each_death_once(lines: Logged) -> None:
    """A thread's death and an exception in a finaliser are told, with their traceback; an orderly exit is not."""
    install_hooks(lines.log)
    for target in (throw, sys.exit):
        thread = threading.Thread(target=target, args=("bang",), name="worker-1")
        thread.start()
        thread.join()

    class Doomed:
        def __del__(self) -> None:
            raise ValueError("bang")

    Doomed()
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    told = [json.loads(line) for line in lines.text.splitlines()]
    assert [line["event"] for line in told] == ["thread_died", "unraisable_exception", "interrupted"]
    assert told[0]["thread"] == "worker-1"
    assert "ValueError: (\"cannot load 'bang'\"" in told[0]["exception"]
