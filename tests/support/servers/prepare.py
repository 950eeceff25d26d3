"""
Find or build the real servers before the tests run, so that a long build is seen: `python -m tests.servers.prepare`.
"""

from tests.support.servers import redis, vault


def main() -> None:
    """
    Say which servers the tests will use, or what is missing.
    """
    print(f"test server: {vault.find_vault() or vault.MISSING}")
    print(f"test server: {redis.find_redis() or redis.MISSING}")


if __name__ == "__main__":
    main()
