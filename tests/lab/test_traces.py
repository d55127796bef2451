"""The lab matches its topology: Debian's traceroute sees exactly the ground truth."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import COLOS, DROP_PORT, OPEN_PORT, Family, Hop, Lab
from lab.truth import addresses_among

pytestmark = pytest.mark.lab

METHODS = {
    "icmp": ["-I"],
    "udp": ["-U"],
    "tcp-open": ["-T", "-p", str(OPEN_PORT)],
    "tcp-closed": ["-T", "-p", "80"],
}
FAMILIES = pytest.mark.parametrize("family", [4, 6])


def traceroute(lab: Lab, source: str, target: str, *options: str) -> list[set[str]]:
    """The addresses that answered, hop by hop."""
    hops: list[set[str]] = []
    for line in output(lab, source, target, *options).splitlines()[1:]:
        words = line.split()
        assert int(words[0]) == len(hops) + 1
        hops.append(addresses_among(words[1:]))
    return hops


def output(lab: Lab, source: str, target: str, *options: str) -> str:
    # No adaptive timeout (`,0,0`), which would cause false losses on a busy machine.
    argv = ["traceroute", "-n", "-w", "1,0,0", "-m", "20", "-N", "64", *options, target]
    done = lab.run(source, argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_agrees(seen: list[set[str]], hops: tuple[Hop, ...]) -> None:
    assert len(seen) == len(hops), seen
    for found, hop in zip(seen, hops, strict=True):
        assert found <= hop.answers, (hop, seen)
        assert bool(found) != hop.silent, (hop, seen)


@FAMILIES
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", ["web", "far"])
def test_every_colo_sees_the_true_path(lab: Lab, target: str, method: str, family: Family) -> None:
    address = lab.address(target, family=family)

    def agrees(colo: str) -> None:
        seen = traceroute(lab, colo, address, *METHODS[method])
        assert_agrees(seen, lab.path(colo, target, family=family))

    with ThreadPoolExecutor() as pool:
        list(pool.map(agrees, [colo.name for colo in COLOS]))


@FAMILIES
def test_colos_see_each_other(lab: Lab, family: Family) -> None:
    seen = traceroute(lab, "sin01", lab.address("den02", family=family), "-I")
    assert_agrees(seen, lab.path("sin01", "den02", family=family))


@FAMILIES
def test_flows_use_both_sides_of_the_diamond(lab: Lab, family: Family) -> None:
    address = lab.address("web", family=family)
    # 40 flows: that all of them take one side by chance is 1 in 5e11.
    runs = [traceroute(lab, "den01", address, "-U", "-q", "10") for _ in range(4)]
    balanced = next(hop for hop in lab.path("den01", "web", family=family) if hop.ttl == 4)
    assert set().union(*(seen[3] for seen in runs)) == balanced.addresses


@FAMILIES
def test_one_flow_uses_one_side(lab: Lab, family: Family) -> None:
    address = lab.address("web", family=family)
    flow = ["--sport=40000", "-p", "50000", *(["-l", "7"] if family == 6 else [])]
    seen = traceroute(lab, "den01", address, "-U", "-q", "10", *flow)
    assert len(seen[3]) == 1


def test_the_flow_label_is_part_of_a_flow(lab: Lab) -> None:
    address = lab.address("web", family=6)
    sides = set()
    for label in range(16):
        flow = ["--sport=40000", "-p", "50000", "-l", str(label), "-f", "4", "-m", "4", "-q", "1"]
        sides.add(output(lab, "den01", address, "-U", *flow).splitlines()[1].split()[1])
    assert sides == {"2001:db8:11::2", "2001:db8:11::3"}


@FAMILIES
@pytest.mark.parametrize(
    ("target", "options"), [("dark", ["-I"]), ("web", ["-T", "-p", str(DROP_PORT)])]
)
def test_dark_target_and_dropped_port_are_silent(
    lab: Lab, target: str, options: list[str], family: Family
) -> None:
    address = lab.address(target, family=family)
    hops = lab.path("den01", target, family=family)
    *seen, last = traceroute(lab, "den01", address, *options, "-m", str(len(hops)))
    assert_agrees(seen, hops[:-1])
    assert not last


@FAMILIES
@pytest.mark.parametrize(("name", "sign"), [("unreachable", "!H"), ("prohibited", "!X")])
def test_refusing_router_ends_the_path_with_the_reason(
    lab: Lab, name: str, sign: str, family: Family
) -> None:
    address = lab.address(name, family=family)
    assert_agrees(traceroute(lab, "den01", address), lab.path("den01", name, family=family))
    *_, last = output(lab, "den01", address).splitlines()
    assert len(re.findall(sign, last)) == 3


@FAMILIES
def test_each_of_many_targets_answers_from_its_own_address(lab: Lab, family: Family) -> None:
    addresses = lab.many(family=family)
    assert len(set(addresses)) == 100
    hops = lab.path("den01", addresses[99], family=family)
    assert hops[-1].addresses == {addresses[99]}
    assert_agrees(traceroute(lab, "den01", addresses[99], "-U"), hops)


COUNT_UNREACHABLE = """
import select, socket, sys
family, address = (socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET), sys.argv[1]
poll, count = select.poll(), 40
socks = {}
for i in range(count):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.connect((address, 40000 + i))
    socks[sock.fileno()] = sock
    poll.register(sock, select.POLLIN)
for sock in socks.values():
    sock.send(b"x")
while count and (ready := poll.poll(500)):
    for fd, _ in ready:
        poll.unregister(fd)
        count -= 1
print(40 - count)
"""


@FAMILIES
def test_limits_are_off_in_one_lab_and_at_their_defaults_in_the_other(
    lab: Lab, limited_lab: Lab, family: Family
) -> None:
    answers = []
    for each in (lab, limited_lab):
        argv = ["python3", "-c", COUNT_UNREACHABLE, each.address("web", family=family)]
        done = each.run("den01", argv)
        assert done.returncode == 0, done.stderr
        answers.append(int(done.stdout))
    unlimited, limited = answers
    assert unlimited == 40
    assert 1 <= limited < 20
