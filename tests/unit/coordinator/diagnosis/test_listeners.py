"""Who holds the coordinator's ports."""

import os
import socket
from pathlib import Path

import pytest
from colotrace_coordinator.diagnosis.listeners import (
    OWN,
    Listener,
    is_own_address,
    judge,
    listeners,
)
from colotrace_coordinator.listen import Address
from colotrace_proto.findings import Status

HTTP, GRPC = Address("", 8080), Address("", 8081)


UID = 997


def held(
    port: int, program: str, *, address: str = "::", pid: int | None = 7, uid: int = 0
) -> Listener:
    return Listener(address, port, uid, pid, program)


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ([], Status.OK, "free"),
        ([held(8080, OWN)], Status.OK, "the coordinator listens (process 7)"),
        ([held(8080, "nginx")], Status.FAIL, "nginx (process 7) listens there"),
        ([held(8080, "nginx", address="192.0.2.1")], Status.FAIL, "nginx"),
        ([held(8080, "", pid=None)], Status.FAIL, "a program of another user listens there"),
        ([held(8080, "", pid=None, uid=UID)], Status.OK, "the coordinator listens (user "),
        ([held(8081, "", pid=None, uid=UID)], Status.FAIL, "does not listen here"),
        ([held(8081, OWN)], Status.FAIL, "does not listen here"),
    ],
)
def test_holder_of_a_port(found: list[Listener], status: Status, words: str) -> None:
    first, *_ = judge({"--http": HTTP, "--grpc": GRPC}, found, own=(), uid=UID)
    assert first.status is status
    assert words in first.detail
    assert bool(first.remedy) == (status is not Status.OK)


@pytest.mark.parametrize(
    ("host", "own", "status"),
    [("127.0.0.1", {"127.0.0.1"}, Status.OK), ("192.0.2.99", set(), Status.FAIL)],
)
def test_address_of_another_host(host: str, own: set[str], status: Status) -> None:
    [found] = judge({"--http": Address(host, 8080)}, [], own=own, uid=UID)
    assert found.status is status


def test_listener_at_another_address_does_not_matter() -> None:
    place = Address("127.0.0.2", 8080)
    other = held(8080, "nginx", address="127.0.0.3")
    [found] = judge({"--http": place}, [other], own={"127.0.0.2"}, uid=UID)
    assert found.status is Status.OK


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_own_listener_is_found(address: str) -> None:
    """In the kernel's tables, and by its descriptor."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listening:
        port = listening.getsockname()[1]
        [found] = listeners([port])
    assert found.pid == os.getpid()
    assert found.address == address
    assert found.program


def test_unreadable_tables_have_no_listeners(tmp_path: Path) -> None:
    assert listeners([80], proc=tmp_path) == []


def test_own_address() -> None:
    assert is_own_address("127.0.0.1")
    assert not is_own_address("192.0.2.199")
