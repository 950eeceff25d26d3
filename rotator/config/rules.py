"""
What must fit together across the options of a configuration, once each of them is sound in itself.
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
    What is wrong with an option of a table; `option` is "" where several options together are.
    """

    table: str
    option: str
    what: str


@dataclass(frozen=True, slots=True)
class Declared:
    """
    A keyset as the file declares it, before `well_known` has its default.

    `own` are the options in its own table, `faulty` those, inherited ones included, whose value could not be read:
    nothing that depends on them is checked. `well_known` is None where neither its table nor `[defaults]` says.
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
        Whether it holds key pairs; None when that could not be read.
        """
        return None if "algorithm" in self.faulty else not self.policy.algorithm.symmetric


def well_known_faults(keysets: Sequence[Declared]) -> Iterator[Fault]:
    """
    Yield a fault for each asymmetric keyset that must say whether it is in the combined set, and does not.
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
    Return the policy of each keyset by its name; an asymmetric one that does not say otherwise is well-known.
    """
    return {
        keyset.name: replace(keyset.policy, well_known=bool(keyset.asymmetric) and keyset.well_known is not False)
        for keyset in keysets
    }


def keyset_faults(keysets: Sequence[Declared], defaults: Policy) -> Iterator[Fault]:
    """
    Yield what cannot work in each keyset; a fault that stems from `[defaults]` alone is told once, as theirs.
    """
    inherited, told = defaults.faults(), set()
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
            elif what not in told:
                told.add(what)
                yield Fault("defaults", "", what)


def poll_fault(interval: timedelta | None, keysets: Sequence[Declared]) -> Iterator[Fault]:
    """
    Yield a fault when an explicit poll interval is too long for the keyset that is quickest to propagate.
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
    Yield what nobody could verify, and what looks like a proof or a publication and is none.

    *given* are the options of `[publish]` that stand in the file: a default does no harm where it does nothing.
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
    Yield a fault when a certificate authority is named for a connection that has no TLS.
    """
    if redis and redis.ca_file and not redis.url.startswith("rediss:"):
        yield Fault(
            "redis", "ca_file", "does nothing, since url does not begin with rediss://; change url or remove it"
        )


def listener_fault(jwks: str, admin: str) -> Iterator[Fault]:
    """
    Yield a fault when both listeners are given the same port.
    """
    if jwks and jwks == admin and not jwks.endswith(":0"):
        yield Fault("admin", "http", "is the address of [publish] http, too; give each a port of its own")
