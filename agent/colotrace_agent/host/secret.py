"""A persistent secret of the host, which chooses flows: the same flows after a restart.

machine-id(5) must not be exposed, so the secret is a keyed hash of it for this purpose.
"""

import hashlib
import hmac
from pathlib import Path

_MACHINE_ID = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_PURPOSE = b"colotrace: which flow a trace takes"


def host_secret(places: tuple[Path, ...] = _MACHINE_ID) -> bytes:
    """32 bytes, the same at each start; empty without a machine id, as in some containers."""
    for place in places:
        try:
            machine_id = place.read_text().strip()
        except OSError:
            continue
        if machine_id and machine_id != "uninitialized":
            return hmac.digest(machine_id.encode(), _PURPOSE, hashlib.sha256)
    return b""
