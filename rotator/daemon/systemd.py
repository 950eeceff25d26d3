"""
The protocol with systemd (sd_notify(3)); without systemd, `notify` does nothing.
"""

import os
import socket

from rotator.telemetry.redaction import redact


def notify(**fields: str) -> bool:
    """
    Send *fields* (READY="1", STATUS="...") to the service manager in one datagram; return whether that worked.

    Each value becomes one line and is redacted: every user of the machine can read it.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    message = "\n".join(f"{name}={redact(' '.join(value.splitlines()))}" for name, value in fields.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.settimeout(1.0)
            manager.connect("\0" + path[1:] if path.startswith("@") else path)
            manager.sendall(message.encode())
    except OSError:
        return False
    return True


def watchdog_interval() -> float | None:
    """
    Return the seconds between two signs of life, half of what the watchdog allows; None if this process has none.
    """
    allowed = os.environ.get("WATCHDOG_USEC", "")
    if not allowed.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(allowed) / 2_000_000 or None
