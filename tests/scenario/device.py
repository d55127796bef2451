"""The TUN device behind which a world is served, and the host side of it."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

from lab.namespaces import wait_until_received

from scenario.addresses import assign
from scenario.schema import Case

DEVICE = "world0"
# The second word of the transport header, where ICMP, UDP and TCP probes differ.
_NUMBER = "@th,32,32"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


def open_device() -> int:
    """Make the device in this process's namespace; it goes when the descriptor is closed."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        request = struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(descriptor, _TUNSETIFF, request)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def configure(case: Case) -> None:
    """Give the prober its addresses and send everything into the device, in both families."""
    four, six = (assign(case, family=family).prober for family in (4, 6))
    _set("ipv6/conf/all/disable_ipv6", 0)
    _set("ipv6/conf/default/disable_ipv6", 0)
    _set(f"ipv6/conf/{DEVICE}/disable_ipv6", 0)
    # Waiting for duplicates of an address would lose the first probes.
    _set(f"ipv6/conf/{DEVICE}/accept_dad", 0)
    # Without a link-local address the host says less that is no probe.
    _set(f"ipv6/conf/{DEVICE}/addr_gen_mode", 1)
    _set(f"ipv6/conf/{DEVICE}/router_solicitations", 0)
    # Replies come from everywhere through the one device.
    _set("ipv4/conf/all/rp_filter", 0)
    _set(f"ipv4/conf/{DEVICE}/rp_filter", 0)
    _run(
        ["ip", "-batch", "-"],
        f"link set lo up\n"
        f"addr add {four}/32 dev {DEVICE}\n"
        f"addr add {six}/128 dev {DEVICE} nodad\n"
        # Bursts of several traces at once are the network's to take.
        f"link set {DEVICE} txqueuelen 10000 up\n"
        f"route add default dev {DEVICE} src {four}\n",
    )
    _run(["ip", "-6", "-batch", "-"], f"route add default dev {DEVICE} src {six}\n")
    wait_until_received([six])
    if case.send_failures:
        _run(["nft", "-f", "-"], firewall(case))


def unsupported(case: Case) -> str | None:
    """Return why this case cannot be had from a real kernel, None where it can."""
    for failure in case.send_failures:
        if failure.errno != "EPERM":
            return f"a real kernel does not give {failure.errno} on demand"
    return None


def firewall(case: Case) -> str:
    """Return nftables rules by which the prober's own host refuses probes, with EPERM."""
    rules = []
    for failure in case.send_failures:
        for at_ttl in ("ip ttl", "ip6 hoplimit"):
            match = f"oifname {DEVICE} "
            match += f"{at_ttl} {failure.ttl} " if failure.ttl is not None else ""
            if failure.ordinal is None:
                rules.append(f"{match} drop")
                continue
            # A sender that tries again is refused again: it is that packet which may not leave.
            rules.append(f"{match} {_NUMBER} @refused drop")
            turn = f"numgen inc mod {case.trace.packets_per_ttl} {failure.ordinal}"
            rules.append(f"{match} {turn} add @refused {{ {_NUMBER} }} drop")
    refused = f"set refused {{ typeof {_NUMBER}; flags dynamic; size 1024; }}"
    chain = ["type filter hook output priority 0; policy accept;", *rules]
    return "\n".join(["table inet world {", refused, "chain out {", *chain, "}", "}", ""])


def _set(key: str, value: int) -> None:
    path = Path("/proc/sys/net") / key
    # A kernel without IPv6 has no such keys; what is then missing shows in the cases of IPv6.
    if path.exists():
        path.write_text(str(value), encoding="ascii")


def _run(command: list[str], script: str) -> None:
    subprocess.run(command, input=script, text=True, check=True, timeout=10)
