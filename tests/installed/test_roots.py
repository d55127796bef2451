"""The harness itself: a host boots, reaches the others and the target, reboots, and is gone."""

from pathlib import Path

import pytest
from lab import namespaces

from installed.bases import SUITES, base
from installed.roots import HOME
from installed.world import EXAMPLE4, world


@pytest.mark.parametrize("suite", SUITES)
def test_hosts_boot_and_reach_each_other(suite: str, tmp_path: Path) -> None:
    with world(tmp_path) as made:
        first, second = made.root("one", base(suite)), made.root("two", base(suite))
        first.write(f"{HOME}/kept", "kept\n")
        for root in (first, second):
            root.boot()
        assert first.run("hostname").strip() == "one"
        first.run("ping", "-c", "1", "-W", "5", "two.example.net")
        first.run("ping", "-6", "-c", "1", "-W", "5", "two.example.net")
        assert EXAMPLE4 in first.run("ping", "-4", "-c", "1", "-W", "5", "example.com")
        before = first.run("cat", "/proc/sys/kernel/random/boot_id", f"{HOME}/kept")
        assert "kept" in before
        first.reboot()
        assert first.run("cat", f"{HOME}/kept") == "kept\n"
        assert first.run("systemctl", "is-active", "dbus").strip() == "active"
        second.power_off()
        network = f"net:[{(namespaces.DIRECTORY / first.namespace).stat().st_ino}]"
        assert network in namespaces.in_use()
        made.remove(first)
        assert network not in namespaces.in_use()
