"""
What the daemon on this machine says, if its admin listener can be reached.
"""

from collections.abc import Collection

MAX_WAIT = 1.0


def ask_daemon(address: str, names: Collection[str]) -> dict[str, object]:
    """
    Return whether the daemon at *address* is reachable and ready, and its alarms on *names*. Commands work without one.
    """
    if not address:
        return {"reachable": False}
    import json
    import time
    from http.client import HTTPException

    from rotator.adapters.http_client import get

    try:
        _, body = get(f"http://{address}/readyz", {}, time.monotonic() + MAX_WAIT)
        answer = json.loads(body)
        alarms = [alarm for alarm in answer["alarms"] if alarm["keyset"] in names]
        redis = {"redis": str(answer["redis"])} if "redis" in answer else {}
        return {"reachable": True, "ready": bool(answer["ready"]), "alarms": alarms, **redis}
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return {"reachable": False}
