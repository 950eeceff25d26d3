"""
The keygen that draws on the operating system's randomness.
"""

from rotator.adapters.keygen import Keygen
from rotator.model.algorithms import Algorithm


def test_secrets_are_256_bits_under_a_random_kid() -> None:
    """64 hex digits, 32 hex digits, never the same twice."""
    made = [Keygen().generate(Algorithm.HS256, 0) for _ in range(50)]

    assert len({m.kid for m in made}) == len(made)
    assert all(len(m.kid) == 32 and m.private is None for m in made)
