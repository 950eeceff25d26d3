"""
What a loaded keyset is, seen against what is remembered; and when a missing one is a contradiction.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rotator.documents.public import public_document
from rotator.lifecycle.rollback import Consistent, Contradiction, Edited, Lagging, Verdict, absent_contradiction, assess
from rotator.model.algorithms import Algorithm
from rotator.model.keys import HmacSecret, Kid, NextKey
from rotator.model.keyset import Keyset, Revocation
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
    version=12,
    digest="same",
    stay_until={"k1": datetime(2026, 1, 10, tzinfo=UTC)},
)


def judge(seen: LastSeen | None, keyset: Keyset, *, digest: str = "same", day: int = 1) -> Verdict:
    """Compare a keyset of this content with what was seen, on a day of January."""
    return assess(seen, keyset, digest, datetime(2026, 1, day, tzinfo=UTC))


@pytest.mark.parametrize("keyset", [KEYSET, replace(KEYSET, sequence=6, op_id="op-6"), replace(KEYSET, sequence=90)])
def test_the_same_and_later_saves_are_known(keyset: Keyset) -> None:
    """
    What was seen, and any later sequence of its epoch, is recognised.
    """
    assert judge(REMEMBERED, keyset) == Consistent()


def test_what_was_never_seen_is_known() -> None:
    """
    A first sight has nothing to contradict.
    """
    assert judge(None, KEYSET) == Consistent()


def test_a_lower_sequence_lags() -> None:
    """
    An older document may be a replica's; it is not a contradiction yet, whoever saved it.
    """
    assert judge(REMEMBERED, replace(KEYSET, sequence=4, op_id="op-4")) == Lagging()


@pytest.mark.parametrize("sequence", [1, 5, 9])
def test_another_epoch_freezes(sequence: int) -> None:
    """
    Another life of the name is a contradiction at any sequence, and the text names both lives; the caller adds the way out.
    """
    verdict = judge(REMEMBERED, replace(KEYSET, epoch="epoch-2", sequence=sequence))
    assert isinstance(verdict, Contradiction)
    for part in ("web: ", "epoch-1", "epoch-2", "another store"):
        assert part in verdict.text


def test_the_same_sequence_from_another_save_freezes() -> None:
    """
    Two histories met: a restored backup went on from an older save.
    """
    verdict = judge(REMEMBERED, replace(KEYSET, op_id="op-5b"))
    assert isinstance(verdict, Contradiction)
    for part in ("web: ", "(op-5)", "(op-5b)"):
        assert part in verdict.text


def test_nobody_has_a_trace_so_it_may_be_created() -> None:
    """
    Bare 404s and nothing remembered: a keyset to be created.
    """
    assert absent_contradiction("web", None, 0, 0) is None


@pytest.mark.parametrize("remembered", [None, REMEMBERED])
@pytest.mark.parametrize("keys", [0, 7])
@pytest.mark.parametrize("jwks", [0, 3])
def test_any_trace_contradicts_absence(remembered: LastSeen | None, keys: int, jwks: int) -> None:
    """
    A trace anywhere freezes; the text says which.
    """
    text = absent_contradiction("web", remembered, keys, jwks)
    if not (remembered or keys or jwks):
        assert text is None
        return
    assert text is not None
    assert (f"keys/web, {keys}, was deleted or destroyed" in text) is bool(keys)
    assert ("jwks/ is there" in text) is (bool(jwks) and not keys)
    assert ("mount" in text) is not (keys or jwks)


def test_another_content_of_the_same_save_was_edited() -> None:
    """
    Every save has a sequence of its own; where no content was recorded yet there is nothing to compare.
    """
    assert judge(REMEMBERED, KEYSET, digest="another") == Edited(
        "its content is another than that of the same save before"
    )
    assert judge(replace(REMEMBERED, digest=""), KEYSET, digest="another") == Consistent()
    assert judge(REMEMBERED, replace(KEYSET, sequence=6), digest="another") == Consistent()


def test_a_key_that_left_before_its_time_was_taken_out() -> None:
    """
    Unless it is on the deny-list, or the moment has come.
    """
    gone = replace(
        KEYSET,
        sequence=6,
        next=NextKey(
            kid=Kid("k2"),
            algorithm=Algorithm.HS256,
            material=HmacSecret(SecretText("1" * 64)),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        ),
    )
    revoked = (Revocation(Kid("k1"), datetime(2026, 1, 2, tzinfo=UTC), "", datetime(2026, 2, 2, tzinfo=UTC)),)

    assert judge(REMEMBERED, gone, day=9) == Edited("k1 left before its time")
    assert judge(REMEMBERED, gone, day=10) == Consistent()
    assert judge(REMEMBERED, replace(gone, revoked=revoked), day=9) == Consistent()
    # Further away than any retention, 7 d 2 h 1 min: a clock that was wrong dated it, and it may be gone.
    assert judge(REMEMBERED, gone, day=3) == Edited("k1 left before its time")
    assert judge(REMEMBERED, gone, day=1) == Consistent()
