"""Sources are what the kernel would send from, whatever was looked up before by the same socket."""

import errno
import ipaddress
import os
import socket

import pytest
from colotrace_agent.network.route import source_for, sources_for

NEIGHBOURS = ["127.0.0.1", "127.9.9.9"]
FAR = ["2.0.0.0", "1.1.1.1", "0.0.0.0"]  # noqa: S104 - a target; its bytes are in a sockaddr, too
V4 = [*FAR, *NEIGHBOURS, "255.255.255.255", "1.1.1.1", *NEIGHBOURS]
V6 = ["::1", "2600::1", "fe80::1", "febf::1", "fec0::1", "::1", "::2", "::"]


def by_a_socket_of_its_own(target: str) -> str | int:
    """The address, or the errno."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    if ipaddress.ip_address(target).is_link_local and family is socket.AF_INET6:
        return errno.EINVAL
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((target, 9))
        except OSError as error:
            return error.errno or 0
        return str(sock.getsockname()[0])


def as_seen(source: bytes | OSError) -> str | int:
    if isinstance(source, OSError):
        assert source.strerror
        assert source.errno != errno.EBADF
        return source.errno or 0
    return str(ipaddress.ip_address(source))


@pytest.mark.parametrize("targets", [V4, V4[::-1], V6, V6[::-1]])
def test_sources_are_the_kernels(targets: list[str]) -> None:
    """Also behind a target that cannot be sent to, and whichever comes first."""
    packed = [ipaddress.ip_address(target).packed for target in targets]
    for _ in range(2):
        found = [as_seen(source) for source in sources_for(packed)]
        assert found == [by_a_socket_of_its_own(target) for target in targets]


def test_one_at_a_time() -> None:
    """As an address, or an error with its words."""
    assert source_for(bytes([127, 0, 0, 1])) == bytes([127, 0, 0, 1])
    refused = by_a_socket_of_its_own("255.255.255.255")  # differs on a host without routes
    assert isinstance(refused, int)
    with pytest.raises(OSError, match=os.strerror(refused)):
        source_for(bytes([255] * 4))
    with pytest.raises(OSError, match="any of the host's links"):
        source_for(ipaddress.ip_address("fe80::1").packed)
