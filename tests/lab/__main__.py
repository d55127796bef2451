"""`python -m lab` (with PYTHONPATH=tests): a lab to look around in, until Ctrl-C.

Without root, start a shell by `python tests/lab/enter.py bash` first and the lab in its background:
nothing outside that user namespace sees the lab's.
"""

from __future__ import annotations

import signal
import sys
import textwrap
from types import FrameType

from lab import access, topology
from lab.names import LAME_DOMAIN
from lab.network import Lab

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Bring a lab up, say what there is, and take it down when asked to."""
    access.enter_if_needed()
    for number in _ENDING:
        signal.signal(number, _end)
    with Lab() as lab:
        print(_description(lab), flush=True)
        while True:
            signal.pause()


def _end(_number: int, _frame: FrameType | None) -> None:
    """Leave, from wherever the program is; what follows is taking down, and is not disturbed."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def _description(lab: Lab) -> str:
    drawing = (topology.__doc__ or "").partition("veth pair.\n\n")[2].partition("`split`")[0]
    rows = [
        f"{target:8} {lab.address(target):15} {lab.address(target, family=6):18} "
        + "  ".join(f"{colo.name}: {len(lab.path(colo.name, target))} hops" for colo in lab.colos)
        for target in ("web", "dark", "far")
    ]
    open_, closed, drop = topology.OPEN_PORT, topology.CLOSED_PORT, topology.DROP_PORT
    extras = " ".join(each.name for each in topology.EXTRAS if each.zone is not topology.MANY)
    return "\n".join(
        [
            textwrap.dedent(drawing).rstrip(),
            "",
            *rows,
            f"more names in {topology.DOMAIN}: {extras}",
            f"never answered: names below {LAME_DOMAIN}",
            f"TCP ports of web: {open_} open, {closed} closed, {drop} dropped",
            "",
            f"coordinator's address for agents  {lab.management_address}",
            f"DNS server                        {lab.resolver}",
            f"ASN file                          {lab.asn_db}",
            f"enter a host                      ip netns exec {lab.namespace('den01')} sh",
            "",
            "Ctrl-C takes it down.",
        ]
    )


if __name__ == "__main__":
    main()
