"""The probe host's own addresses are targets only with --allow-private, to protect its services."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet import alone

from lab import Lab
from lab.uplinks import ip

pytestmark = pytest.mark.lab

# Public addresses added to a host: an address, its network's broadcast address, an address of a
# prefix that is routed to the host, and two of IPv6.
OWN = ["44.1.1.2", "45.0.0.9", "2600:1::2", "2600:2::9"]
BROADCAST = "44.1.1.255"


@pytest.fixture
def public(own_lab: Lab) -> Lab:
    """The lab, whose host den01 has public addresses."""
    ip(
        own_lab, "den01",
        "addr add 44.1.1.2/24 brd + dev eth0",
        "route add local 45.0.0.0/24 dev lo",
        "addr add 2600:1::2/64 dev eth0 nodad",
        "route add local 2600:2::/64 dev lo",
    )  # fmt: skip
    return own_lab


def without_leave(*words: str) -> list[str]:
    argv = alone.command("--max-ttl", "1", "--wait-time", "0.1", *words)
    argv.remove("--allow-private")
    return argv


def test_own_addresses_need_allow_private(public: Lab, tmp_path: Path) -> None:
    """On the command line and in a targets file; other addresses of the same link may be traced."""
    targets = [*OWN, BROADCAST, "44.1.1.1"]
    listed = tmp_path / "targets"
    listed.write_text("\n".join(targets))
    for words in (targets, ["--targets-file", str(listed)]):
        told = alone.read(public.run_forked("den01", without_leave(*words), timeout_s=60))
        for target in (*OWN, BROADCAST):
            assert told.rows[target]["error"].endswith("Code 3"), target
            assert told.rows[target]["target_summary"]["packet_count"] == 0
        assert not told.rows["44.1.1.1"]["error"].endswith("Code 3")
    told = alone.trace(public, "den01", OWN)
    assert [row["error"] for row in told.rows.values()] == [""] * len(OWN)
