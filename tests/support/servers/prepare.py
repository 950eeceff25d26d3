"""
Find or build the real servers before the tests run, so that a long build is seen.

Run it with `python -m tests.support.servers.prepare`.
"""

from tests.support.servers import redis, vault


def main() -> None:
    """
    Say which servers the tests will use, or what is missing.
    """
    print(f"test server: {vault.find_vault() or vault.MISSING}")
    for version in redis.VERSIONS:
        print(f"test server: {redis.find_redis(version) or redis.MISSING[version]}")


if __name__ == "__main__":
    main()
