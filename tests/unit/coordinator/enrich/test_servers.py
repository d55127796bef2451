"""Which name server is asked, also while the system names none."""

from pathlib import Path

import pytest
import structlog
from colotrace_coordinator.enrich.servers import NameServers
from manual_clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def servers(file: Path, clock: ManualClock) -> NameServers:
    return NameServers(None, clock=clock, log=structlog.get_logger(), system=file)


def addresses(names: NameServers) -> list[str]:
    resolver = names.resolver()
    return [] if resolver is None else [str(each) for each in resolver.nameservers]


@pytest.mark.parametrize("text", [None, "", "# none yet\n", "search example.net\n"])
def test_without_a_server_at_the_start_one_is_taken_later(
    tmp_path: Path, clock: ManualClock, text: str | None
) -> None:
    """At boot the network may come up after the coordinator."""
    file = tmp_path / "resolv.conf"
    if text is not None:
        file.write_text(text)
    names = servers(file, clock)
    assert addresses(names) == []
    file.write_text("nameserver 192.0.2.53\n")
    clock.now += 1
    assert addresses(names) == ["192.0.2.53"]


def test_a_changed_file_is_read_again(tmp_path: Path, clock: ManualClock) -> None:
    """Written over, or renamed over, as resolvers' configuration is."""
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\n")
    names = servers(file, clock)
    assert addresses(names) == ["192.0.2.1"]
    other = tmp_path / "new"
    other.write_text("nameserver 192.0.2.2\n")
    other.replace(file)
    clock.now += 1
    assert addresses(names) == ["192.0.2.2"]
    file.unlink()
    clock.now += 1
    assert addresses(names) == []


def test_the_file_is_looked_at_once_a_second(tmp_path: Path, clock: ManualClock) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\n")
    names = servers(file, clock)
    file.unlink()
    assert addresses(names) == ["192.0.2.1"]
