"""States and signs of life for systemd."""

import asyncio
import os
import socket
from contextlib import suppress

import pytest
from colotrace_proto import service_manager


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_state_is_told(manager):
    service_manager.notify(service_manager.READY)
    assert manager.recv(100) == b"READY=1"


def test_nothing_is_told_without_a_manager(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    service_manager.notify(service_manager.READY)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    service_manager.notify(service_manager.READY)


def test_manager_may_listen_at_an_abstract_address(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"colotrace-test-{os.getpid()}"
        sock.bind(f"\0{name}")
        sock.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        service_manager.notify(service_manager.STOPPING)
        assert sock.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("60000000", None, 60.0),
        ("60000000", "1", None),
        ("0", None, None),
        ("", None, None),
        ("soon", None, None),
    ],
)
def test_watchdog_is_wanted_of_this_process_alone(monkeypatch, usec, pid, expected):
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))
    assert service_manager.watchdog_s() == expected


async def test_signs_of_life_come_within_the_time(manager):
    beating = asyncio.create_task(service_manager.beat(0.06))
    received = await asyncio.to_thread(lambda: [manager.recv(100) for _ in range(3)])
    assert received == [b"WATCHDOG=1"] * 3
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating


async def test_no_signs_of_life_if_none_are_wanted(manager):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(service_manager.beat(None), 0.01)
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)
