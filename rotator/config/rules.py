"""
Rules between the options of a configuration, checked once each option is valid by itself.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import timedelta

from rotator.config.settings import PublishSettings, RedisSettings
from rotator.config.validators import KEYSET
from rotator.model.policy import Policy
from rotator.model.times import format_duration

TIMES = frozenset({"rotation_period", "propagation_time", "max_token_lifetime", "clock_skew"})
_ONLY_ASYMMETRIC = ("rsa_bits", "well_known")
_ONLY_SYMMETRIC = ("readers",)


@dataclass(frozen=True, slots=True)
class Fault:
    """
    What is wrong with an option of a table; `option` is "" if several options are at fault together.
    """

    table: str
    option: str
    what: str


@dataclass(frozen=True, slots=True)
class Declared:
    """
    A keyset as the file declares it, before `well_known` has its default.

    `own` holds the options in its own table; `faulty` the options, inherited ones included, whose value is invalid:
    nothing that depends on them is checked. `well_known` is None if neither its table nor `[defaults]` sets it.
    """

    name: str
    policy: Policy
    well_known: bool | None
    own: AbstractSet[str]
    faulty: AbstractSet[str]

    @property
    def table(self) -> str:
        """
        Its table in the file.
        """
        return f"keysets.{self.name}"

    @property
    def asymmetric(self) -> bool | None:
        """
        Whether it holds key pairs; None if its algorithm is invalid.
        """
        return None if "algorithm" in self.faulty else not self.policy.algorithm.symmetric


def well_known_faults(keysets: Sequence[Declared]) -> Iterator[Fault]:
    """
    Yield a fault for each of several asymmetric keysets that does not say whether it is in the combined set.
    """
    asymmetric = [keyset for keyset in keysets if keyset.asymmetric]
    if len(asymmetric) == 1:
        return
    for keyset in asymmetric:
        if keyset.well_known is None and "well_known" not in keyset.faulty:
            yield Fault(
                keyset.table,
                "well_known",
                "must be said, for there are several asymmetric keysets; true puts it into the combined set, whose "
                f"readers trust every keyset in it, false leaves it at /keysets/{keyset.name}/jwks.json",
            )


def policies(keysets: Sequence[Declared]) -> dict[str, Policy]:
    """
    Return the policy of each keyset by its name; an asymmetric keyset is well-known unless it says otherwise.
    """
    return {
        keyset.name: replace(keyset.policy, well_known=bool(keyset.asymmetric) and keyset.well_known is not False)
        for keyset in keysets
    }


def keyset_faults(keysets: Sequence[Declared], defaults: Policy) -> Iterator[Fault]:
    """
    Yield the faults of each keyset's policy; a fault of `[defaults]` alone is reported once, for that table.
    """
    inherited, reported = defaults.faults(), set()
    for keyset in keysets:
        if keyset.asymmetric is not None:
            for option in _ONLY_SYMMETRIC if keyset.asymmetric else _ONLY_ASYMMETRIC:
                if option in keyset.own:
                    kind, algorithm = "HMAC" if keyset.asymmetric else "asymmetric", keyset.policy.algorithm
                    yield Fault(keyset.table, option, f"is for {kind} keysets, and this one is {algorithm}; remove it")
        if keyset.faulty & {*TIMES, "algorithm", "readers"}:
            continue
        for what in keyset.policy.faults():
            if what not in inherited:
                yield Fault(keyset.table, "", what)
            elif what not in reported:
                reported.add(what)
                yield Fault("defaults", "", what)


def poll_fault(interval: timedelta | None, keysets: Sequence[Declared]) -> Iterator[Fault]:
    """
    Yield a fault if an explicit poll interval is above an eighth of the shortest propagation time.
    """
    times = {k.policy.timing.propagation_time: k.name for k in keysets if not k.faulty & TIMES}
    if interval is None or not times:
        return
    quickest = min(times)
    if interval > quickest / 8:
        most = timedelta(seconds=quickest // timedelta(seconds=8))
        lower = f"lower it to at most {format_duration(most)}, or " if most else ""
        yield Fault(
            "daemon",
            "poll_interval",
            f"{format_duration(interval)} is above an eighth of the propagation_time of {times[quickest]} "
            f'({format_duration(quickest)}); {lower}say "auto"',
        )


def publish_faults(
    publish: PublishSettings, given: AbstractSet[str], keysets: Sequence[Declared], known: dict[str, Policy]
) -> Iterator[Fault]:
    """
    Yield a fault for each keyset that is published nowhere, and for a file or URL that would never hold a keyset.

    *given* holds the options of `[publish]` that are in the file: a default that has no effect is no fault.
    """
    asymmetric = [keyset for keyset in keysets if keyset.asymmetric]
    combined = any(policy.well_known for policy in known.values())
    for keyset in asymmetric:
        in_file = publish.file and (KEYSET in publish.file or known[keyset.name].well_known)
        if not (publish.vault or publish.http or in_file):
            yield Fault(
                keyset.table,
                "",
                "is published nowhere, so nobody could verify its tokens; set vault = true, http, or a file with "
                f"{KEYSET} in its name, in [publish]",
            )
    if not asymmetric or combined:
        return
    way_out = f"since no keyset is in the combined set; put {KEYSET} into it, or say well_known = true of a keyset"
    if publish.file and "file" in given and KEYSET not in publish.file:
        yield Fault("publish", "file", f"would stay empty, {way_out}")
    for number, url in enumerate(publish.verify_urls, 1):
        if KEYSET not in url:
            yield Fault("publish", f"verify_urls, entry {number}", f"would never be read, {way_out}")


def redis_fault(redis: RedisSettings | None) -> Iterator[Fault]:
    """
    Yield a fault if `ca_file` is set and the address has no TLS.
    """
    if redis and redis.ca_file and not redis.url.startswith("rediss:"):
        yield Fault(
            "redis", "ca_file", "does nothing, since url does not begin with rediss://; change url or remove it"
        )


def publish_ca_fault(publish: PublishSettings) -> Iterator[Fault]:
    """
    Yield a fault if `ca_file` is set and no address in `verify_urls` has TLS.
    """
    if publish.ca_file and not any(url.startswith("https:") for url in publish.verify_urls):
        yield Fault(
            "publish", "ca_file", "does nothing, since no address in verify_urls begins with https://; remove it"
        )


def listener_fault(jwks: str, admin: str) -> Iterator[Fault]:
    """
    Yield a fault if both listeners have the same address.
    """
    if jwks and jwks == admin and not jwks.endswith(":0"):
        yield Fault("admin", "http", "is the address of [publish] http, too; give each a port of its own")
