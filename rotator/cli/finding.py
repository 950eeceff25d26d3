"""
What one check of `rotator check` found.
"""

from dataclasses import dataclass

from rotator.cli.exit_codes import Exit


@dataclass(frozen=True, slots=True)
class Finding:
    """
    The result of one check; `code` is what the command exits with: 0 is good or, with *warn*, deserves attention.
    """

    what: str
    said: str
    code: Exit = Exit.DONE
    warn: bool = False

    @property
    def mark(self) -> str:
        """
        ok, warn or FAIL.
        """
        return "FAIL" if self.code else "warn" if self.warn else "ok"
