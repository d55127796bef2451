"""Flows by the hundred are those that one by one would be."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from colotrace_agent.bulk.flows import Flows, ManyIdentities, rows_of
from colotrace_agent.engine.identity import QUARANTINE_NS, Identities
from colotrace_agent.model import TraceSpec
from colotrace_agent.packets.formats import keys_of
from colotrace_proto.messages import PacketType
from unit.agent.made import SECRET, SOURCE, TYPES

MANY = 500


def targets_of(count: int, *, size: int = 4) -> list[bytes]:
    return [bytes([203, 0, number // 256, number % 256] + [1] * (size - 4))
            for number in range(count)]  # fmt: skip


def allocate(
    identities: ManyIdentities,
    spec: TraceSpec,
    targets: list[bytes],
    *,
    reserve: Callable[[int], bool] = lambda _: True,
    now: int = 0,
) -> tuple[Flows, list[bool]]:
    sources = rows_of([SOURCE[:1] * len(targets[0])] * len(targets))
    flows, free = identities.allocate(spec, rows_of(targets), sources, reserve=reserve, now=now)
    return flows, free.tolist()


@pytest.mark.parametrize("port", [0, 443])
@pytest.mark.parametrize("size", [4, 16])
@pytest.mark.parametrize("packet_type", TYPES)
def test_fields_are_those_of_the_single_engine(
    packet_type: PacketType, size: int, port: int
) -> None:
    """Also by the same secret: a target gets the same flow by both."""
    targets = targets_of(MANY, size=size)
    one, many = (kind(secret=SECRET, flow_secret=b"a") for kind in (Identities, ManyIdentities))
    assert isinstance(one, Identities)
    assert isinstance(many, ManyIdentities)
    flows, free = allocate(many, TraceSpec(bytes(size), packet_type, port=port), targets)
    assert all(free)
    for row, target in enumerate(targets):
        spec = TraceSpec(target, packet_type, port=port)
        wanted = one.allocate(spec, SOURCE, reserve=lambda _: True, now=0)
        flow = flows.flow(row)
        assert flow.key == wanted.key
        assert flow.target == target
        if packet_type in (PacketType.ICMP, PacketType.GRE) and port:
            assert flow.first_number == wanted.first_number == port
        assert flow.first_number in range(1 << (32 if packet_type is PacketType.TCP else 16))


def test_keyed_fields_are_distinct() -> None:
    """IP IDs of a flow, and tags of all flows; each allocation draws others."""
    identities, spec = ManyIdentities(secret=SECRET), TraceSpec(bytes(4), max_ttl=64)
    found = [allocate(identities, spec, targets_of(MANY))[0] for _ in range(2)]
    probes = spec.max_ttl * spec.packets_per_ttl
    tags = {tag for flows in found for tag in flows.tags.copy().view(np.uint64).ravel().tolist()}
    assert len(tags) == 2 * MANY * probes
    for flows in found:
        assert flows.ip_ids.all()
        assert all(len(set(row)) == probes for row in flows.ip_ids.tolist())
    assert (found[0].first_numbers != found[1].first_numbers).mean() > 0.99


UNTOLD = [TraceSpec(bytes(4), PacketType.GRE), TraceSpec(bytes(4), PacketType.ICMP, port=7)]
"""Traces of which an answer to one may be taken for an answer to the next."""


@pytest.mark.parametrize("spec", UNTOLD, ids=["gre", "icmp with a port"])
def test_released_flow_is_quarantined_if_traces_are_not_told_apart(spec: TraceSpec) -> None:
    """By any of its keys, as long as an answer may be under way."""
    identities = ManyIdentities(secret=SECRET)
    first, _ = allocate(identities, spec, targets_of(MANY))
    identities.release(first.names, 0)
    later, _ = allocate(identities, spec, targets_of(MANY), now=QUARANTINE_NS - 1)
    keys = {key for row in range(MANY) for key in keys_of(first.flow(row).key)}
    assert not keys & {key for row in range(MANY) for key in keys_of(later.flow(row).key)}
    # They are forgotten by the batch, so that some rest a quarter longer.
    again, _ = allocate(identities, spec, targets_of(MANY), now=3 * QUARANTINE_NS)
    assert again.identifiers.tolist() == first.identifiers.tolist()


@pytest.mark.parametrize("spec", UNTOLD, ids=["gre", "icmp with a port"])
def test_flows_to_one_target_are_those_of_the_single_engine(spec: TraceSpec) -> None:
    """Also if hundreds of flows to it are quarantined, as with many names of one address."""
    many, one = ManyIdentities(secret=SECRET), Identities(secret=SECRET)
    spec = replace(spec, target=targets_of(1)[0])
    for _ in range(300):
        flows, free = allocate(many, spec, targets_of(1))
        many.release(flows.names, 0)
        assert free == [True]
        wanted = one.allocate(spec, SOURCE, reserve=lambda _: True, now=0)
        assert flows.flow(0).key == wanted.key


def test_quarantine_of_many_batches_ends() -> None:
    """All flows are quarantined, and all are released after it."""
    identities, spec = ManyIdentities(secret=SECRET), TraceSpec(bytes(4), max_ttl=1, port=7)
    begun = []
    for number in range(15):
        flows, _ = allocate(identities, spec, [
            bytes([10, number, each // 256, each % 256]) for each in range(MANY)
        ])  # fmt: skip
        identities.release(flows.names, number)
        begun.append(flows)
    for flows in begun:
        targets = [row.tobytes() for row in flows.targets]
        again, _ = allocate(identities, spec, targets, now=QUARANTINE_NS - 1)
        assert not (again.identifiers == flows.identifiers).any()


@pytest.mark.parametrize("packet_type", [PacketType.UDP, PacketType.TCP])
def test_only_free_ports_are_taken(packet_type: PacketType) -> None:
    """If the host uses the first, another one; without any free port there is no flow."""
    spec = TraceSpec(bytes(4), packet_type)
    asked: list[int] = []

    def even(port: int) -> bool:
        asked.append(port)
        return port % 2 == 0

    flows, free = allocate(ManyIdentities(), spec, targets_of(50), reserve=even)
    assert all(free)
    assert not (flows.identifiers % 2).any()
    assert set(asked) >= set(flows.identifiers.tolist())
    flows, free = allocate(ManyIdentities(), spec, targets_of(3), reserve=lambda _: False)
    assert free == [False] * 3
    assert len(flows.targets) == 0
