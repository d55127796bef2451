"""Reading scenario files, and refusing those that contradict themselves."""

import functools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from scenario.addresses import Addresses, UnknownNodeError, assign
from scenario.kinds import ICMP4, ICMP6, Answer, Error, ProbeType
from scenario.paths import edges, named, seen_at
from scenario.schema import Case, ExpectHop, Family

CASES = Path(__file__).parent / "cases"


class CaseError(Exception):
    """A scenario file that cannot be meant as it stands."""


@dataclass(frozen=True, slots=True)
class Run:
    """One case in one family with one packet type: what a driver runs."""

    case: Case
    family: Family
    packet_type: ProbeType

    def __str__(self) -> str:
        return f"{self.case.name}-v{self.family}-{self.packet_type}"


def load(path: Path) -> Case:
    """Read one scenario file; its name is the file's."""
    return parse(path.read_text(encoding="utf-8"), name=path.stem)


def parse(text: str, *, name: str) -> Case:
    """Read a scenario from its text."""
    try:
        table = tomllib.loads(text)
        case = msgspec.convert({**table, "name": name}, Case)
        _check(case)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnknownNodeError) as error:
        raise CaseError(f"{name}: {error}") from error
    except ValueError as error:  # an address that is none
        raise CaseError(f"{name}: {error}") from error
    return case


@functools.cache
def cases() -> tuple[Case, ...]:
    """Return every scenario of the suite, by name."""
    return tuple(load(path) for path in sorted(CASES.glob("*.toml")))


def runs() -> list[Run]:
    """Return every run of the suite: each case in each of its families and packet types."""
    return [
        Run(case=case, family=family, packet_type=packet_type)
        for case in cases()
        for family in case.families
        for packet_type in case.trace.packet_types
    ]


def _check(case: Case) -> None:
    for contradiction in _contradictions(case):
        raise CaseError(f"{case.name}: {contradiction}")


def _contradictions(case: Case) -> Iterator[str]:
    for family in case.families:
        addresses = assign(case, family=family)
        addresses.named(case.target.errors_from)
        addresses.named(case.target.replies_from)
        for word in _expected_names(case):
            addresses.named(word)
        if case.trace.multipath:
            yield from _untrue(case, family)
    if len(case.expect.hops) > case.trace.max_ttl:
        yield "expect.hops goes beyond trace.max_ttl"
    if ProbeType.GRE_ICMP in case.trace.packet_types and len(case.trace.packet_types) > 1:
        yield "gre+icmp has a row of its own kind: no other packet type beside it"
    if case.expect.reached and len(case.expect.hops) == 0:
        yield "a reached target has a hop"
    errors: list[Error | Answer | None] = [hop.refuse for hop in case.hops]
    errors += [case.target.icmp, case.target.udp]
    for family in case.families:
        unknown = set(Error) - set(ICMP4 if family == 4 else ICMP6)
        yield from (f"IPv{family} has no {error}" for error in errors if error in unknown)
    asks = case.expect.links is not None or bool(case.expect.notices)
    if asks and not case.trace.multipath:
        yield "expect.links and expect.notices are of multipath traces"
    for ttl, hop in enumerate(case.hops, start=1):
        if hop.branch is not None and hop.follows is None:
            yield f"the router at {ttl} is on a branch, but not said of which hop"
        if hop.follows is not None and not hop.follows < ttl:
            yield f"the router at {ttl} can only follow an earlier one"
        if hop.width > 1 and (hop.address or hop.address4 or hop.address6):
            yield f"the routers at {ttl} share one address"


def _untrue(case: Case, family: Family) -> Iterator[str]:
    """What the case expects that its network does not have."""
    addresses = assign(case, family=family)
    links = {edge for link in case.expect.links or () for edge in named(link, addresses)}
    yield from (f"there is no link {edge}" for edge in links - edges(case, family=family))
    hops = [_at_ttl(hop, addresses) for hop in case.expect.hops]
    if case.expect.reached and hops != seen_at(case, family=family):
        yield f"expect.hops is {hops}, the network {seen_at(case, family=family)}"


def _at_ttl(hop: str | ExpectHop, addresses: Addresses) -> set[str]:
    if isinstance(hop, str):
        return set() if hop == "-" else set(addresses.named(hop))
    return {address for node in hop.nodes for address in addresses.named(node.source)}


def _expected_names(case: Case) -> Iterator[str]:
    for hop in case.expect.hops:
        if not isinstance(hop, str):
            yield from (node.source for node in hop.nodes)
        elif hop != "-":
            yield hop
