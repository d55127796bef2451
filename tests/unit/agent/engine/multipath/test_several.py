"""Several traces as one: each is reported when it has ended, up to its own end, by its type."""

import errno

import pytest
from colotrace_agent.engine.limits.routers import Routers
from colotrace_agent.engine.multipath.several import Several, offered, specs_of
from colotrace_agent.engine.notices import Caveats
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import AnswerKind, Heard, TraceSpec
from colotrace_agent.packets.formats import PACKET_TYPES
from colotrace_proto.messages import MAX_JOB_PROBES, NodeKind, PacketType
from colotrace_proto.notices import Notice, NoticeCode
from unit.agent.made import SOURCE, TARGET, answer, flow, router, send_all

MS = 1_000_000
START = 7_000 * MS
ICMP, UDP = PacketType.ICMP, PacketType.UDP
NO_FLOW_LEFT, NO_TIME = Notice(NoticeCode.NO_FLOW_LEFT), Notice(NoticeCode.NO_TIME_FOR_FLOWS)


def spec(packet_type: PacketType = ICMP, *, packets: int = 1) -> TraceSpec:
    return TraceSpec(TARGET, packet_type, max_ttl=4, packets_per_ttl=packets)


def traced(what: TraceSpec, path: str, *, at: int = START, identifier: int = 1) -> Trace:
    """A trace whose probes at TTL 1, 2 … met a router (r), the target (t), a refusal (x), nobody
    (-), or could not leave (f)."""
    own = flow(what.packet_type, identifier=identifier, context=bytes([identifier]))
    trace = Trace(what, own, now=at)
    probes = send_all(trace, at=at, stamped=True, fails=lambda _, ttl: path[ttl - 1] == "f")
    for index, ttl in probes:
        letter = path[ttl - 1]
        kind, who = {
            "r": (AnswerKind.TIME_EXCEEDED, router(ttl)),
            "x": (AnswerKind.UNREACHABLE, router(ttl)),
            "t": (AnswerKind.UNREACHABLE, TARGET),
        }.get(letter, (None, b""))
        if kind is not None:
            code = 13 if letter == "x" else 3
            heard = answer(own, index, kind, responder=who, code=code)
            assert trace.heard(heard, at=at + ttl * MS, read_at=at + ttl * MS) is not None
    return trace


def test_two_types_are_merged_by_ttl() -> None:
    """Sent probes are summed, each type up to its own end; labels name the type of an answer."""
    both = Several([spec(ICMP), spec(UDP)], multipath=False)
    icmp, udp = both.due()
    assert (icmp, udp) == (spec(ICMP), spec(UDP))
    first, second = traced(icmp, "rt-t"), traced(udp, "rrxt", at=START + MS)
    for trace in (first, second):
        both.begun(trace)
    assert both.due() == []
    for trace, ended in ((first, 10 * MS), (second, 30 * MS)):
        trace.stop(START + ended)
        both.took(trace)
    assert both.done
    assert both.sent == [2, 2, 1, 1]
    assert [(reply.ttl, reply.address, reply.kind, reply.labels) for reply in both.replies] == [
        (1, router(1), NodeKind.TRANSIT, ("ICMP",)),
        (2, TARGET, NodeKind.TARGET, ("ICMP",)),
        (1, router(1), NodeKind.TRANSIT, ("UDP",)),
        (2, router(2), NodeKind.TRANSIT, ("UDP",)),
        (3, router(3), NodeKind.BARRIER, ("UDP", "!X")),
        (4, TARGET, NodeKind.TARGET, ("UDP",)),
    ]
    assert (both.started, both.ended) == (START, START + 30 * MS)
    assert (both.links, both.notices) == ((), ())


def test_counters_and_send_errors_are_summed() -> None:
    """Over all traces."""
    both = Several([spec(ICMP), spec(UDP)], multipath=False)
    for number, one in enumerate(both.due(), 1):
        trace = traced(one, "rfff")
        trace.counters.late, trace.counters.foreign, trace.counters.duplicates = 1, number, 10
        both.begun(trace)
        trace.stop(START)
        both.took(trace)
    counters = both.counters
    assert (counters.late, counters.foreign, counters.duplicates) == (2, 3, 20)
    assert both.caveats.send_errors == {errno.EPERM: 6}
    assert both.sent == [2, 0, 0, 0]


def test_type_without_a_flow_leaves_the_other() -> None:
    """With one notice."""
    both = Several([spec(ICMP), spec(UDP)], multipath=False)
    icmp, udp = both.due()
    both.missed(udp, NO_FLOW_LEFT)
    both.missed(udp, NO_FLOW_LEFT)
    trace = traced(icmp, "rrrt")
    both.begun(trace)
    both.took(trace)
    assert both.done
    assert both.notices == (NO_FLOW_LEFT,)


def limited(what: TraceSpec, answered: str, *, identifier: int) -> Trace:
    """A trace that has ended, of whose probes at TTL 1, 2 … routers answered so many."""
    own = flow(what.packet_type, identifier=identifier, context=bytes([identifier]))
    trace = Trace(what, own, now=START)
    left = [int(digit) for digit in answered]
    while trace.unsent:
        index, ttl = trace.take()
        trace.probe_sent(index, START)
        trace.probe_departed(index, START)
        if left[ttl - 1]:
            left[ttl - 1] -= 1
            tag = own.marks.tag(index)
            heard = Heard(
                AnswerKind.TIME_EXCEEDED, router(ttl), own.key, None, tag=tag, source=SOURCE
            )
            assert trace.heard(heard, at=START + MS, read_at=START + MS) is not None
    trace.stop(START + 2 * MS)
    trace.caveats.limiting = Routers().judge(
        trace.path, trace.sent[: trace.end_ttl], trace.answers[: trace.end_ttl],
        target=TARGET, started=START, now=START + 2 * MS,
    )  # fmt: skip
    return trace


def notices_of(*answered: str) -> tuple[Notice, ...]:
    """What a multipath job says after a first wave that was answered so."""
    many = Several([spec(UDP)], multipath=True)
    wave = [
        limited(one, answers, identifier=number)
        for number, (one, answers) in enumerate(zip(many.due(), answered, strict=False), 1)
    ]
    for trace in wave:
        many.begun(trace)
    for trace in wave:
        many.took(trace)
    return tuple(each for each in many.notices if each.code is NoticeCode.HOPS_LIMIT)


def test_limited_hops_of_many_flows_are_one_notice() -> None:
    """From any flow; a silent branch does not count as limited."""
    (notice,) = notices_of("1212", "1212", "1012", "1212")
    assert notice.ttls == (1, 3)


def test_loss_of_single_flows_is_no_limit() -> None:
    """Each hop but the last looks limited in some flow, but not over all flows."""
    assert notices_of("1222", "2122", "2212", "2221") == ()


def test_hop_of_a_longer_branch_shows_no_limit_of_others() -> None:
    """Loss before the end of other flows need not affect it."""
    assert notices_of("2122", "2120", "2110", "2120") == ()
    assert notices_of("2122", "2120", "2120", "2120") != ()


def test_queue_overflow_is_counted_once() -> None:
    """Lost packets count for every running trace; the last trace to end has counted all of them."""
    both = Several([spec(ICMP), spec(UDP)], multipath=True)
    for wave in ((3, 5, 5, 0), (2, 2, 4, 4)):
        paths = ("rr--", "rt--")
        begun = [traced(one, paths[one.flow % 2], identifier=one.flow + 1) for one in both.due()]
        for trace in begun:
            both.begun(trace)
        for trace, overflows in zip(begun, wave * len(begun), strict=False):
            trace.caveats.overflows = overflows
            both.took(trace)
    assert both.caveats.overflows == 9
    (notice,) = (each for each in both.notices if each.code is NoticeCode.QUEUE_OVERFLOW)
    assert notice.count == 9


def test_faults_of_the_host_are_summed() -> None:
    """Probes without a stamp and datagrams that name no probe. A step of the clock is said once."""
    both = Several([spec(ICMP), spec(UDP)], multipath=False)
    for number, one in enumerate(both.due(), 2):
        trace = traced(one, "rrr-")
        trace.caveats = Caveats(unstamped=number, unplaced=number, clock_stepped=True)
        both.begun(trace)
        both.took(trace)
    assert set(both.notices) >= {
        Notice(NoticeCode.UNSTAMPED_PROBES, count=5),
        Notice(NoticeCode.UNPLACED_ANSWERS, count=5),
    }
    assert both.notices.count(Notice(NoticeCode.CLOCK_STEPPED)) == 1


def test_flows_of_a_multipath_job_are_numbered_from_its_own() -> None:
    """Wave by wave; each flow sends two packets at each TTL, in rounds."""
    many = Several([TraceSpec(TARGET, UDP, max_ttl=4, packets_per_ttl=9, flow=5)], multipath=True)
    wave = many.due()
    assert [one.flow for one in wave] == list(range(5, 12))
    assert {(one.packets_per_ttl, one.rounds) for one in wave} == {(2, True)}
    traces = [traced(one, "rrrt", identifier=one.flow) for one in wave]
    for trace in traces:
        many.begun(trace)
    assert not many.done
    for trace in traces:
        many.took(trace)
    assert many.done
    assert many.sent == [14] * 4
    assert [(link.ttl, link.near, link.far, link.flows) for link in many.links] == [
        (1, router(1), router(2), 7),
        (2, router(2), router(3), 7),
        (3, router(3), TARGET, 7),
    ]


def test_stopped_job_begins_no_more_flows() -> None:
    """With a notice only if more flows were wanted."""
    for path in ("rrrt", "rr--"):
        many = Several([spec(UDP)], multipath=True)
        for one in many.due():
            trace = traced(one, path, identifier=one.flow + 1)
            many.begun(trace)
            many.took(trace)
        many.stop(NO_TIME)
        assert many.notices == ()
    many = Several([spec(UDP)], multipath=True)
    many.stop(NO_TIME)
    assert many.done
    assert many.notices == (NO_TIME,)


def test_two_types_share_the_budget_of_a_multipath_job() -> None:
    """Each has its own flows, labels and links; equal links are merged."""
    wide = [TraceSpec(TARGET, kind, max_ttl=64) for kind in (ICMP, UDP)]
    both = Several(wide, multipath=True)
    spent = 0
    for _ in range(200):
        wave = both.due()
        for one in wave:
            # Each flow goes another way behind the first router: there is always more to be found.
            identifier = 1 + one.flow
            trace = Trace(one, flow(one.packet_type, identifier=identifier), now=START)
            while trace.unsent:
                index, ttl = trace.take()
                trace.probe_sent(index, START)
                trace.probe_departed(index, START)
                if ttl < 3:
                    tag = trace.flow.marks.tag(index)
                    who = bytes([198, 18, ttl, identifier if ttl > 1 else 0])
                    heard = Heard(
                        AnswerKind.TIME_EXCEEDED, who, trace.flow.key, None, tag=tag, source=SOURCE
                    )
                    trace.heard(heard, at=START + 1, read_at=START + 1)
            spent += trace.taken
            both.begun(trace)
            both.took(trace)
    assert both.done
    assert MAX_JOB_PROBES - 4 * 128 < spent <= MAX_JOB_PROBES
    assert {label for reply in both.replies for label in reply.labels} == {"ICMP", "UDP"}
    assert {notice.packet_type for notice in both.notices} == {ICMP, UDP}
    assert both.links
    assert {link.flows for link in both.links} == {2}


def test_gre_icmp_stands_for_both_types() -> None:
    """They differ in the type only; any other type stands for itself."""
    both = specs_of(spec(PacketType.GRE_ICMP, packets=3))
    assert both == [spec(PacketType.GRE, packets=3), spec(ICMP, packets=3)]
    assert specs_of(spec(UDP)) == [spec(UDP)]


@pytest.mark.parametrize(
    ("built", "more"),
    [
        ({ICMP, UDP}, set()),
        ({PacketType.GRE}, set()),
        ({PacketType.GRE, ICMP}, {PacketType.GRE_ICMP}),
        (PACKET_TYPES, {PacketType.GRE_ICMP} if PacketType.GRE in PACKET_TYPES else set()),
    ],
)
def test_gre_icmp_is_offered_with_both(built: set[PacketType], more: set[PacketType]) -> None:
    assert offered(built) == built | more
