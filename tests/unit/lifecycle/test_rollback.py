"""
What a loaded keyset is, seen against what is remembered; and when a missing one is a contradiction.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rotator.documents.public import public_document
from rotator.lifecycle.rollback import Consistent, Contradiction, Lagging, absent_contradiction, assess
from rotator.model.algorithms import Algorithm
from rotator.model.keys import HmacSecret, Kid, NextKey
from rotator.model.keyset import Keyset
from rotator.model.policy import Timing
from rotator.model.publication import LastSeen
from rotator.model.secret import SecretText

TIMING = Timing(timedelta(hours=2), timedelta(days=7), timedelta(minutes=1))
KEYSET = Keyset(
    name="web",
    epoch="epoch-1",
    sequence=5,
    op_id="op-5",
    timing=TIMING,
    next=NextKey(
        kid=Kid("k1"),
        algorithm=Algorithm.HS256,
        material=HmacSecret(SecretText("0" * 64)),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    ),
)
REMEMBERED = LastSeen(
    epoch="epoch-1",
    sequence=5,
    op_id="op-5",
    well_known=False,
    symmetric=True,
    timing=TIMING,
    document=public_document(KEYSET),
)
FORGET = "move keysets/web.json in its state_dir away"


@pytest.mark.parametrize("keyset", [KEYSET, replace(KEYSET, sequence=6, op_id="op-6"), replace(KEYSET, sequence=90)])
def test_the_same_and_later_saves_are_known(keyset: Keyset) -> None:
    """
    What was seen, and any later sequence of its epoch, is recognised.
    """
    assert assess(REMEMBERED, keyset) == Consistent()


def test_what_was_never_seen_is_known() -> None:
    """
    A first sight has nothing to contradict.
    """
    assert assess(None, KEYSET) == Consistent()


def test_a_lower_sequence_lags() -> None:
    """
    An older document may be a replica's; it is not a contradiction yet, whoever saved it.
    """
    assert assess(REMEMBERED, replace(KEYSET, sequence=4, op_id="op-4")) == Lagging()


@pytest.mark.parametrize("sequence", [1, 5, 9])
def test_another_epoch_freezes(sequence: int) -> None:
    """
    Another life of the name is a contradiction at any sequence, and the text names both lives and both ways out.
    """
    verdict = assess(REMEMBERED, replace(KEYSET, epoch="epoch-2", sequence=sequence))
    assert isinstance(verdict, Contradiction)
    for part in ("web: ", "epoch-1", "epoch-2", "backup", FORGET):
        assert part in verdict.text


def test_the_same_sequence_from_another_save_freezes() -> None:
    """
    Two histories met: a restored backup went on from an older save.
    """
    verdict = assess(REMEMBERED, replace(KEYSET, op_id="op-5b"))
    assert isinstance(verdict, Contradiction)
    for part in ("web: ", "(op-5)", "(op-5b)", "vault kv rollback", FORGET):
        assert part in verdict.text


def test_nobody_has_a_trace_so_it_may_be_created() -> None:
    """
    Bare 404s and nothing remembered: a keyset to be created.
    """
    assert absent_contradiction(None, 0, 0) is None


@pytest.mark.parametrize("remembered", [None, REMEMBERED])
@pytest.mark.parametrize("keys", [0, 7])
@pytest.mark.parametrize("jwks", [0, 3])
def test_any_trace_contradicts_absence(remembered: LastSeen | None, keys: int, jwks: int) -> None:
    """
    A trace anywhere freezes; the way to start anew names what is there to be removed, and nothing that is not.
    """
    text = absent_contradiction(remembered, keys, jwks)
    if not (remembered or keys or jwks):
        assert text is None
        return
    assert text is not None
    anew = text.rpartition("to give up its keys")[2]
    assert ("keys/" in anew) is bool(keys)
    assert ("jwks/" in anew) is bool(jwks)
    assert ("metadata delete" in anew) is bool(keys or jwks)
    assert (FORGET in anew) is bool(remembered)
    assert (f"vault kv undelete -versions={keys}" in text) is bool(keys)
    assert "mount" in text or keys or jwks
