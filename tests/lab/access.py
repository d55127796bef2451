"""Whether a lab can be built here, and if not, why not and what helps."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from lab import enter

_PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "dnsmasq": "dnsmasq-base",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
}
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000


class LabUnavailableError(RuntimeError):
    """No lab can be built here; the text says why, and the remedy."""


def reason() -> str | None:
    """Why no lab can be built here, with the remedy; None where one can."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    absent = sorted({deb for word, deb in _PROGRAMS.items() if not shutil.which(word, path=path)})
    if absent:
        return f"the lab needs Debian packages: sudo apt-get install -y {' '.join(absent)}"
    if not Path("/proc/self/status").exists():
        return "the lab needs /proc: mount -t proc proc /proc"
    lacking = enter.missing_capabilities()
    if lacking:
        return (
            f"the lab needs {', '.join(lacking)}: run as root, or under "
            f"`python {_enter_path()} COMMAND`, which makes a user namespace"
        )
    if not _can_mount():
        return (
            "the lab makes mount namespaces, which this root directory does not allow: it is no "
            "mount point, as in a plain chroot. Bind it over itself before (mount --bind DIR DIR; "
            "chroot DIR), or use systemd-nspawn -D DIR or a container"
        )
    if not Path("/proc/sys/net/ipv6").is_dir():
        return "the lab needs IPv6: boot without ipv6.disable=1"
    return None


def is_root() -> bool:
    """Whether this is the host's root, not uid 0 of a user namespace that has no other users."""
    return os.geteuid() == 0 and "4294967295" in Path("/proc/self/uid_map").read_text()


def _can_mount() -> bool:
    """Tried, as each program of the lab is started in a mount namespace of its own."""
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return done.returncode == 0


def require() -> None:
    """Raise LabUnavailableError where no lab can be built."""
    why = reason()
    if why:
        raise LabUnavailableError(why)


def enter_if_needed() -> None:
    """Start the running program anew in a user namespace, if it lacks the capabilities."""
    if enter.missing_capabilities():
        command = [sys.executable, enter.__file__, *_own_command()]
        os.execv(sys.executable, command)  # noqa: S606 (replacing this program is the purpose)


def _own_command() -> list[str]:
    return [sys.executable, *sys.orig_argv[1:]]


def _enter_path() -> str:
    return os.path.relpath(enter.__file__)


def tun_reason() -> str | None:
    """Why no TUN device can be made here; None where one can."""
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/net/tun cannot be opened ({error.strerror}): run as root, or open it to users"
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", b"", _IFF_TUN_NO_PI))
    except OSError as error:
        return f"no TUN device can be made ({error.strerror}): it needs CAP_NET_ADMIN"
    finally:
        os.close(fd)
    return None
