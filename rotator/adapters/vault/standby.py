"""
Whether the node of Vault or OpenBao that we talk to is a standby that answers reads itself: these may show the past.

Vault's standbys pass every request on to the active node; its performance standbys, and OpenBao's since 2.5 (unless
`disable_standby_reads` is set), answer reads with what they have. No header makes every version of both pass a read on:
one that is configured to refuse such a header refuses the request. So this is told, and not mended.
"""

import time

from rotator.adapters.vault.transport import Transport
from rotator.errors import StoreError
from rotator.ports.log import Log

ADVICE = (
    "reads may show the past while it lags or is cut off; point rotator and signers at the active node or set "
    "disable_standby_reads, or set heartbeat = true so that signers stop in time"
)
INTERVAL = 60.0
_HEALTH = "/v1/sys/health?standbyok=true&perfstandbyok=true"
# Any path that is answered without a login, if only with a refusal.
_PATH = "/v1/auth/token/lookup-self"
_NO_FORWARDING = {"X-Vault-No-Request-Forwarding": "true"}


def answers_reads_as_standby(transport: Transport, deadline: float) -> bool:
    """
    Ask the node; raises StoreError if it cannot be asked.
    """
    health = transport.ask("GET", _HEALTH, None, None, deadline).body
    if health.get("performance_standby") is True:
        return True
    if health.get("standby") is not True:
        return False
    try:
        transport.ask("GET", _PATH, None, None, deadline, _NO_FORWARDING)
    except StoreError:  # a redirect: it would have passed the request on
        return False
    return True


class StandbyWatch:
    """
    Asks once a minute, and warns once.
    """

    def __init__(self, transport: Transport, log: Log) -> None:
        self._transport = transport
        self._log = log
        self._due = 0.0

    def look(self, deadline: float) -> None:
        """
        Ask if that is due; cheap otherwise, raises nothing.
        """
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + INTERVAL
        try:
            found = answers_reads_as_standby(self._transport, deadline)
        except StoreError:
            return  # the next pass meets the same, and says so
        if found:
            self._due = float("inf")
            detail = f"{self._transport.address} is a standby that answers reads itself: {ADVICE}"
            self._log.warning("store_standby", detail=detail)
