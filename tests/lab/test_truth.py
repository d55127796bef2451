"""The topology and its ground truth, without kernels."""

from __future__ import annotations

import pytest

from lab import topology, truth
from lab.topology import COLOS, EXTRAS, FAMILIES, NODES, Kind, address_of


@pytest.mark.parametrize(
    ("colo", "web", "far"),
    [("den01", 8, 13), ("den02", 9, 14), ("sin01", 10, 15), ("fra01", 6, 13)],
)
def test_every_colo_has_paths_of_its_own_length(colo: str, web: int, far: int) -> None:
    assert len(truth.path(colo, "web")) == web
    assert len(truth.path(colo, "far", family=6)) == far


def test_long_path_has_one_answering_router_at_every_hop() -> None:
    hops = truth.path("sin01", "far")
    assert [len(hop.answers) for hop in hops] == [1] * 15


def test_denver_crosses_the_diamond_and_the_others_the_mute_router() -> None:
    for colo in ("den01", "den02"):
        hops = truth.path(colo, "web")
        assert [hop.addresses for hop in hops if len(hop.addresses) > 1] == [
            {"198.18.11.2", "198.18.11.3"}
        ]
        assert not any(hop.silent for hop in hops)
    for colo in ("sin01", "fra01"):
        hops = truth.path(colo, "web", family=6)
        assert [hop.addresses for hop in hops if hop.silent] == [{"2001:db8:99::2"}]
        assert all(len(hop.addresses) == 1 for hop in hops)


def test_path_to_a_dark_target_ends_silently() -> None:
    *before, last = truth.path("den01", "dark")
    assert last.silent
    assert not last.answers
    assert not any(hop.silent for hop in before)


def test_path_to_a_refused_name_ends_at_the_refusing_router() -> None:
    assert truth.path("fra01", "unreachable")[-1].addresses == {address_of("edge", family=4)}
    assert len(truth.path("fra01", "prohibited", family=6)) == 5


def test_target_by_address_selects_the_family() -> None:
    assert truth.path("den01", "2001:db8:30::80") == truth.path("den01", "web", family=6)
    assert truth.path("den01", "198.18.40.7")[-1].addresses == {"198.18.40.7"}
    with pytest.raises(KeyError):
        truth.path("den01", "v4only", family=6)
    with pytest.raises(KeyError):
        truth.path("den01", "192.0.2.1")


def test_addresses_are_unique() -> None:
    assert len(truth.addresses()) == sum(len(n.families) for n in NODES.values()) + sum(
        len(extra.families) for extra in EXTRAS
    )


def test_names_and_asns_have_their_gaps() -> None:
    assert truth.name_of("198.18.1.1") == "den1.lab.example"
    assert truth.name_of("2001:db8:20::100") == "far.lab.example"
    assert truth.name_of(address_of("split", family=6)) is None
    assert truth.asn_of("2001:db8:1::1") == 64501
    assert truth.asn_of(address_of("join", family=4)) is None
    assert truth.asn_of("192.0.2.1") is None


def test_every_node_is_on_the_map() -> None:
    drawing = topology.__doc__ or ""
    abbreviated = {f"f{i}" for i in range(3, 9)} | {"sin2", "sin3"}
    assert not [name for name in NODES if name not in drawing and name not in abbreviated]


def test_every_colo_is_a_leaf_with_a_city() -> None:
    assert [colo.name for colo in COLOS] == ["den01", "den02", "sin01", "fra01"]
    assert all(colo.city for colo in COLOS)
    hosts = [name for name, node in NODES.items() if node.kind is not Kind.ROUTER]
    assert all(len(truth.neighbours(name)) == 1 for name in hosts)


@pytest.mark.parametrize("family", FAMILIES)
def test_balanced_paths_have_equal_length(family: topology.Family) -> None:
    for source in (colo.name for colo in COLOS):
        for target in NODES:
            if target != source:
                last = truth.path(source, target, family=family)[-1]
                assert last.addresses == {address_of(target, family=family)}
