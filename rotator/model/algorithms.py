"""
The JWS algorithms that rotator makes keys for: one row each.
"""

from enum import StrEnum


class Algorithm(StrEnum):
    """
    A JWS algorithm (RFC 7518 section 3.1) that rotator makes keys for.
    """

    RS256 = "RS256"
    HS256 = "HS256"
    HS384 = "HS384"
    HS512 = "HS512"

    @property
    def symmetric(self) -> bool:
        """
        Whether signing and verifying take the same secret.
        """
        return self.value.startswith("HS")

    @property
    def shortest_secret(self) -> int:
        """
        The fewest bytes that a secret may have: as many as the hash gives (RFC 7518 section 3.2); 0 for key pairs.
        """
        return int(self.value[2:]) // 8 if self.symmetric else 0
