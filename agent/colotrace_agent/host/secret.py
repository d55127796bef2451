"""A secret that stays with the host: it chooses the flows, so that the same are had tomorrow.

The machine's id (machine-id(5)) is to be told to nobody, and is not: what is used is keyed by it,
for this one purpose.
"""

import hashlib
import hmac
from pathlib import Path

_MACHINE_ID = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_PURPOSE = b"colotrace: which flow a trace takes"


def host_secret(places: tuple[Path, ...] = _MACHINE_ID) -> bytes:
    """32 bytes, the same on each start; none where the host has no id, as some containers."""
    for place in places:
        try:
            machine_id = place.read_text().strip()
        except OSError:
            continue
        if machine_id and machine_id != "uninitialized":
            return hmac.digest(machine_id.encode(), _PURPOSE, hashlib.sha256)
    return b""
