"""The differences of two rows: one target from one colo, in two measurements.

Beside the path (`path_changes`): whether the row has an error, the target's address, whether the
target answered, and its loss and RTT. Loss and RTT of routers are not compared: a router answers
when it has time, and as often as its limit allows.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec
from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Trace
from colotrace_proto.messages import NodeKind

from colotrace_analysis.paths import Path, path_steps
from colotrace_analysis.significance import fisher, rtt_differs, unreached_differs
from colotrace_analysis.work import STEP_LINES, Pace, Steps

from .path_changes import PathChanges, Side, path_changes

_NS_PER_MS = 1e6
_HOP_LINES = 3
"""To describe a hop takes as long as so many replies."""


class RowName(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A row, by its target as asked for, and its colo."""

    target: str
    colo: str


class ChangedHop(msgspec.Struct, frozen=True, kw_only=True):
    """An address that is new or gone, at this TTL. `name` and `asn` are empty if not known."""

    ttl: int
    ip: str
    name: str
    asn: str


class MovedHop(msgspec.Struct, frozen=True, kw_only=True):
    """An address that is on both paths, at another TTL."""

    before_ttl: int
    after_ttl: int
    ip: str
    name: str
    asn: str


class RttChange(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of the target's RTTs, and their difference."""

    before_ms: float
    after_ms: float
    change_ms: float


class LossChange(msgspec.Struct, frozen=True, kw_only=True):
    """The probes that the target should have answered, and the lost ones of them. `p_value` is of
    Fisher's exact test."""

    before_lost: int
    before_sent: int
    after_lost: int
    after_sent: int
    p_value: float


class Answer(enum.StrEnum):
    """How a row ended differently."""

    FAILS = "fails"
    """It has an error now."""
    WORKS = "works"
    """It has no error any more."""
    UNREACHED = "unreached"
    REACHED = "reached"


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """What differs in one row. Lists are empty, and other fields None, where nothing does.

    `joined_asns` and `left_asns` are ASes that are on one side's path only; `as_ttls` are the TTLs
    where their addresses were. `address` is the target's, before and after. `same_flow` is False if
    the paths could not be compared: a change of loss or RTT may then be that of another path.
    `left_out` counts hops and ASes that are not listed (see `bounds`).
    """

    target: str
    colo: str
    answer: Answer | None = None
    address: list[str] | None = None
    appeared: list[ChangedHop] = []
    went: list[ChangedHop] = []
    moved: list[MovedHop] = []
    joined_asns: list[str] = []
    left_asns: list[str] = []
    as_ttls: list[int] = []
    loss: LossChange | None = None
    rtt: RttChange | None = None
    same_flow: bool = True
    left_out: int = 0


class Unlike(enum.StrEnum):
    """Why something of two rows was not compared."""

    ERRORS = "errors"
    """Both have an error."""
    NO_FLOWS = "no_flows"
    """The agent of one did not report the flow (release 0.2)."""
    OTHER_FLOW = "other_flow"
    """The probes had other header fields, or another source address."""
    OTHER_ADDRESS = "other_address"
    """The target has another address."""
    TOO_FEW = "too_few"
    """Only one reached the target, but with so much loss that this may be chance."""


@dataclass(slots=True)
class Compared:
    """Two rows. `path` says whether the paths could be compared; `loss` is to be judged beside that
    of all rows; `rtt_ms` is the difference of the medians, also a small one."""

    name: RowName
    change: RowChange
    unlike: Unlike | None = None
    path: bool = True
    target_ip: str = ""
    loss: LossChange | None = None
    before_ms: float | None = None
    rtt_ms: float | None = None

    @property
    def target_moved(self) -> bool:
        """Whether the target answered at another TTL. It is the furthest of the moved hops."""
        return bool(self.change.moved) and self.change.moved[-1].ip == self.target_ip

    @property
    def differs(self) -> bool:
        """Whether there is any difference."""
        change = self.change
        return bool(
            change.answer
            or change.address
            or change.appeared
            or change.went
            or change.moved
            or change.loss
            or change.rtt
        )


class Naming:
    """Names and ASNs of addresses, from both measurements: a table that has changed in between is
    no change of a path."""

    def __init__(self, names: Mapping[str, str], asns: Mapping[str, str]) -> None:
        self.names = names
        self.asns = asns
        self.packed: dict[bytes, str] = {}

    def learn(self, trace: Trace) -> Steps[None]:
        """Look up the ASNs of a row's addresses."""
        for number, node in enumerate(trace.gathered.replies.nodes, 1):
            if not number % STEP_LINES:
                yield
            if node.address not in self.packed:
                asn = self.asns.get(address_text(node.address))
                if asn is not None:
                    self.packed[node.address] = asn

    def shown(self, address: bytes) -> tuple[str, str, str]:
        """Address as text, name and ASN."""
        ip = address_text(address)
        return ip, self.names.get(ip, ""), self.asns.get(ip, "")


def compare_rows(name: RowName, before: Trace, after: Trace, naming: Naming) -> Steps[Compared]:
    """The differences of a row, in steps if it is large."""
    old, new = before.gathered, after.gathered
    change = RowChange(target=name.target, colo=name.colo)
    if old.code or new.code:
        if old.code and new.code:
            return Compared(name, change, Unlike.ERRORS, path=False)
        answer = Answer.FAILS if new.code else Answer.WORKS
        return Compared(name, msgspec.structs.replace(change, answer=answer), path=False)
    old_paths = yield from path_steps(before)
    new_paths = yield from path_steps(after)
    yield from naming.learn(before)
    yield from naming.learn(after)
    sides = Side.of(before, old_paths), Side.of(after, new_paths)
    large = len(old.replies.ttl) + len(new.replies.ttl) > STEP_LINES
    if large:
        yield
    changes = yield from path_changes(*sides, naming.packed)
    found = yield from _told(change, changes, naming)
    if large:
        yield
    compared = Compared(name, found, path=changes is not None)
    if new.target_address:
        compared.target_ip = address_text(new.target_address)
    if changes is None:
        compared.unlike = _why(before, after)
    _compare_ends(compared, _End.of(before, old_paths), _End.of(after, new_paths))
    if old.target_address and new.target_address and old.target_address != new.target_address:
        both = [address_text(old.target_address), address_text(new.target_address)]
        compared.change = msgspec.structs.replace(compared.change, address=both)
    return compared


def _why(before: Trace, after: Trace) -> Unlike:
    if before.gathered.target_address != after.gathered.target_address:
        return Unlike.OTHER_ADDRESS
    if not before.flows or not after.flows:
        return Unlike.NO_FLOWS
    return Unlike.OTHER_FLOW


def _told(change: RowChange, changes: PathChanges | None, naming: Naming) -> Steps[RowChange]:
    if not changes:
        return msgspec.structs.replace(change, same_flow=changes is not None)
    ttls = {
        ttl for ases in (changes.joined, changes.left) for of_one in ases.values() for ttl in of_one
    }
    appeared = yield from _hops(changes.appeared, naming)
    went = yield from _hops(changes.went, naming)
    return msgspec.structs.replace(
        change,
        appeared=appeared,
        went=went,
        moved=[
            _moved(address, was, now, naming)
            for address, (was, now) in sorted(changes.moved.items(), key=lambda item: item[1])
        ],
        joined_asns=list(changes.joined),
        left_asns=list(changes.left),
        as_ttls=sorted(ttls),
    )


def _hops(hops: Sequence[tuple[int, bytes]], naming: Naming) -> Steps[list[ChangedHop]]:
    found: list[ChangedHop] = []
    pace = Pace()
    for ttl, address in hops:
        found.append(_hop(ttl, address, naming))
        if pace.full(_HOP_LINES):
            yield
    return found


def _hop(ttl: int, address: bytes, naming: Naming) -> ChangedHop:
    ip, name, asn = naming.shown(address)
    return ChangedHop(ttl=ttl, ip=ip, name=name, asn=asn)


def _moved(address: bytes, was: int, now: int, naming: Naming) -> MovedHop:
    ip, name, asn = naming.shown(address)
    return MovedHop(before_ttl=was, after_ttl=now, ip=ip, name=name, asn=asn)


@dataclass(slots=True)
class _End:
    """How a row's target answered. `sent` is None if the row cannot tell how many probes it should
    have answered: its flows have several lengths."""

    reached: bool
    rtts_ns: list[int]
    sent: int | None

    @property
    def lost(self) -> int | None:
        """Probes that the target did not answer."""
        return None if self.sent is None else max(self.sent - len(self.rtts_ns), 0)

    @classmethod
    def of(cls, trace: Trace, found: list[Path]) -> "_End":
        gathered = trace.gathered
        replies = gathered.replies
        longest = max((len(path.hops) for path in found), default=0)
        targets = [node.kind is NodeKind.TARGET for node in replies.nodes]
        rtts: list[int] = []
        target_ttls: set[int] = set()
        other_ttls: set[int] = set()
        for ttl, node, rtt_ns in zip(replies.ttl, replies.node, replies.rtt_ns, strict=True):
            if not targets[node]:
                other_ttls.add(ttl)
            elif ttl <= longest:
                rtts.append(rtt_ns)
                target_ttls.add(ttl)
        last = max(target_ttls, default=longest)
        sent: int | None = gathered.sent[last - 1] if 0 < last <= len(gathered.sent) else 0
        several = len(target_ttls) > 1 or last in other_ttls
        if (gathered.own_ends and rtts and several) or (gathered.unplaced and not rtts):
            sent = None
        return cls(bool(rtts or gathered.unplaced), rtts, sent)


def _compare_ends(compared: Compared, old: _End, new: _End) -> None:
    """Enter differences of the target's answers."""
    if old.reached != new.reached:
        there, silent = (old, new) if old.reached else (new, old)
        lost, probes = there.lost or 0, there.sent or len(there.rtts_ns)
        if unreached_differs(lost=lost, sent=probes, silent=silent.sent or probes):
            answer = Answer.UNREACHED if old.reached else Answer.REACHED
            compared.change = msgspec.structs.replace(compared.change, answer=answer)
        else:
            compared.unlike = compared.unlike or Unlike.TOO_FEW
        return
    if not old.rtts_ns or not new.rtts_ns:
        return
    before_ms, after_ms = median(old.rtts_ns) / _NS_PER_MS, median(new.rtts_ns) / _NS_PER_MS
    compared.before_ms, compared.rtt_ms = before_ms, after_ms - before_ms
    if rtt_differs(old.rtts_ns, new.rtts_ns):
        rtt = RttChange(before_ms=before_ms, after_ms=after_ms, change_ms=after_ms - before_ms)
        compared.change = msgspec.structs.replace(compared.change, rtt=rtt)
    if old.sent and new.sent and old.lost != new.lost:
        lost, later = old.lost or 0, new.lost or 0
        compared.loss = LossChange(
            before_lost=lost,
            before_sent=old.sent,
            after_lost=later,
            after_sent=new.sent,
            p_value=fisher(lost, old.sent - lost, later, new.sent - later),
        )
