"""
Take every vector below a folder through rotator.client, and say what became of them.

Exit status: 0 when nothing was accepted that should not be, 1 when something was, 2 for a folder without vectors.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from joserfc.errors import SecurityWarning

from tests.vectors.wycheproof import Verdict, vectors_of, verdicts_of

USAGE = """usage: python -m tests.vectors FOLDER
FOLDER, or a folder in it, holds JOSE test vectors in the JSON form of Project Wycheproof, such as its
testvectors_v1/json_web_signature_test.json; rotator brings none."""


def main(arguments: Sequence[str]) -> int:
    """
    Print the report about the folder in *arguments*, and return the exit status.
    """
    if len(arguments) != 1 or not (folder := Path(arguments[0])).is_dir():
        print(USAGE if len(arguments) != 1 else f"{arguments[0]}: no such folder\n{USAGE}", file=sys.stderr)
        return 2
    everything: list[Verdict] = []
    skipped = 0
    for path in sorted(folder.rglob("*.json")):
        vectors = vectors_of(path, str(path.relative_to(folder)))
        if vectors is None:
            skipped += 1
            continue
        verdicts = verdicts_of(vectors)
        claimed = vectors[0].claimed if vectors else None
        of = "" if claimed in {None, len(vectors)} else f" of the {claimed} that the file should have"
        print(f"{path.relative_to(folder)}: {_counts(verdicts)}{of}")
        for verdict in verdicts:
            if line := _about(verdict):
                print(f"  {line}")
        everything += verdicts
    if not everything:
        print(f"{folder}: no JOSE vectors; {skipped} other files skipped", file=sys.stderr)
        return 2
    print(f"total: {_counts(everything)}; {skipped} other files skipped")
    for what, wrong in (
        ("false accepts", [verdict.vector.comment for verdict in everything if verdict.false_accept]),
        ("false rejects", [verdict.reason for verdict in everything if verdict.false_reject]),
    ):
        print(f"{what}: {len(wrong)}")
        for reason, count in Counter(wrong).most_common():
            print(f"  {count:5} {reason}")
    return 1 if any(verdict.false_accept for verdict in everything) else 0


def _counts(verdicts: Sequence[Verdict]) -> str:
    accepted = sum(verdict.accepted for verdict in verdicts)
    false_accepts = sum(verdict.false_accept for verdict in verdicts)
    false_rejects = sum(verdict.false_reject for verdict in verdicts)
    disputed = sum(verdict.disputed for verdict in verdicts)
    text = (
        f"{len(verdicts)} tests, {accepted} accepted, {len(verdicts) - accepted} rejected, "
        f"{false_accepts} false accepts, {false_rejects} false rejects"
    )
    return f"{text}, {disputed} contradictory" if disputed else text


def _about(verdict: Verdict) -> str:
    name = f"{verdict.vector.number} {verdict.vector.comment}"
    if verdict.false_accept:
        return f"FALSE ACCEPT {name}"
    if verdict.disputed:
        outcome = "accepted" if verdict.accepted else "rejected"
        return f"contradictory {name}: {outcome}; the file calls the same input both valid and invalid"
    return f"false reject {name}: {verdict.reason}" if verdict.false_reject else ""


if __name__ == "__main__":
    warnings.simplefilter("ignore", SecurityWarning)  # weak keys are what many of the vectors are about
    sys.exit(main(sys.argv[1:]))
