"""The request's body: bounds, defaults, and every fault at once."""

import contextlib
import json
from typing import Any

import pytest
from colotrace_coordinator.api.errors import ApiError, InvalidBodyError, MalformedJsonError
from colotrace_coordinator.api.request import parsing
from colotrace_coordinator.api.request.parsing import parse
from colotrace_proto.measured import Options
from colotrace_proto.messages import Family, PacketType
from hypothesis import given
from hypothesis import strategies as st


def options(**given: object) -> Options:
    return parse(json.dumps({"targets": ["a"], "options": given}).encode()).options.plain()


def pointers(body: object) -> list[str | None]:
    with pytest.raises(InvalidBodyError) as caught:
        parse(json.dumps(body).encode())
    assert all(fault.code == 1001 for fault in caught.value.faults)
    return [fault.pointer for fault in caught.value.faults]


def test_defaults() -> None:
    body = parse(b'{"targets": ["a"]}')
    assert body.options.plain() == Options(PacketType.ICMP, 15, 3, 1_000, 0)
    assert body.colos == []


@pytest.mark.parametrize("nothing", [None, 0])
def test_zero_and_null_are_defaults(nothing: int | None) -> None:
    """As old clients send what was not set."""
    names = ("max_ttl", "packets_per_ttl", "port", "wait_time")
    assert options(**dict.fromkeys(names, nothing)) == Options()
    assert options(packet_type="" if nothing == 0 else None) == Options()


@pytest.mark.parametrize("field", ["colos", "options"])
def test_null_is_absent(field: str) -> None:
    body = parse(json.dumps({"targets": ["a"], field: None}).encode())
    assert body == parse(b'{"targets": ["a"]}')


def test_everything_set() -> None:
    assert options(
        max_ttl=64,
        packet_type="gre+icmp",
        packets_per_ttl=10,
        port=65535,
        wait_time=5,
        multipath=True,
        family=6,
    ) == Options(PacketType.GRE_ICMP, 64, 10, 5_000, 65535, multipath=True, family=Family.IPV6)


@pytest.mark.parametrize(
    ("given", "family"), [(0, None), (None, None), (4, 4), (6, 6), (0.0, None), (4.0, 4), (6.0, 6)]
)
def test_family(given: float | None, family: int | None) -> None:
    """0 is absent, as with the other options."""
    assert options(family=given).family == family


def test_words_of_a_bad_family_name_the_good_ones() -> None:
    with pytest.raises(InvalidBodyError) as caught:
        parse(b'{"targets": ["a"], "options": {"family": 5}}')
    assert caught.value.faults[0].message == "options.family must be 4 or 6"


@pytest.mark.parametrize("off", [None, False])
def test_one_path_by_default(off: bool | None) -> None:
    assert options(multipath=off) == Options()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in ("max_ttl", "packets_per_ttl", "port", "wait_time")
        for value in (-1, 65536, True, False, 3.5, "3", [], {}, 10**30)
    ]
    + [("multipath", value) for value in (0, 1, "true", "", [], {})]
    + [("packet_type", value) for value in ("ICMP", "sctp", 1, True, [], "icmp ")]
    + [("family", value) for value in (1, 5, 46, -4, 4.5, True, False, "4", "", "ipv4", [], {})]
    + [("max_ttl", 65), ("packets_per_ttl", 11), ("wait_time", 6)],
)
def test_bad_option(name: str, value: object) -> None:
    """Types are strict: true, 3.5 and "3" are no integers."""
    assert pointers({"targets": ["a"], "options": {name: value}}) == [f"/options/{name}"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["/targets"]),
        ([], [""]),
        ("x", [""]),
        (None, [""]),
        (7, [""]),
        ({"targets": None}, ["/targets"]),
        ({"targets": "a"}, ["/targets"]),
        ({"targets": []}, ["/targets"]),
        ({"targets": ["a"] * 11}, ["/targets"]),
        ({"targets": ["a"] * 11 + [""]}, ["/targets"]),
        ({"targets": ["a", "b", "c", ""]}, ["/targets/3"]),
        ({"targets": ["a", 1, None]}, ["/targets/1", "/targets/2"]),
        ({"targets": ["a"], "colos": "den"}, ["/colos"]),
        ({"targets": ["a"], "colos": ["den", 1]}, ["/colos/1"]),
        ({"targets": ["a"], "colos": {}}, ["/colos"]),
        ({"targets": ["a"], "options": []}, ["/options"]),
    ],
)
def test_bad_shape(body: object, expected: list[str]) -> None:
    assert pointers(body) == expected


def test_all_faults_at_once() -> None:
    body = {
        "targets": ["", "ok.example", "no spaces"],
        "colos": [1],
        "options": {"max_ttl": 65, "packet_type": "x", "wait_time": 9},
    }
    assert sorted(p or "" for p in pointers(body)) == [
        "/colos/0",
        "/options/max_ttl",
        "/options/packet_type",
        "/options/wait_time",
        "/targets/0",
        "/targets/2",
    ]


def test_words_name_the_bound() -> None:
    with pytest.raises(InvalidBodyError) as caught:
        parse(b'{"targets": ["a"], "options": {"max_ttl": 65}}')
    assert caught.value.faults[0].message == "options.max_ttl must be at most 64"


def test_integer_may_be_written_as_a_float() -> None:
    """15.0 is an integer of JSON; how it is written is the client's library's matter."""
    assert options(max_ttl=20.0, port=443.0, wait_time=2.0, packets_per_ttl=0.0) == Options(
        PacketType.ICMP, 20, 3, 2_000, 443
    )
    assert pointers({"targets": ["a"], "options": {"port": 65536.0}}) == ["/options/port"]
    assert pointers({"targets": ["a"], "options": {"port": 1e300}}) == ["/options/port"]


def test_byte_order_mark_is_ignored() -> None:
    assert parse(b'\xef\xbb\xbf{"targets": ["a"]}').targets == ["a"]


@pytest.mark.parametrize("element", [1, "", "a b", "\u00fc" * 250, None, [[]]])
def test_elements_of_a_list_that_is_too_long_are_not_looked_at(
    element: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    monkeypatch.setattr(parsing, "target_fault", looked.append)
    assert pointers({"targets": [element] * 30_000}) == ["/targets"]
    assert not looked


def test_faults_stop_at_the_bound() -> None:
    """Of each list, before the model describes them; good ones after them are no matter."""
    wrong = [1, "den"] * 10_000
    found = pointers({"targets": ["a"], "colos": wrong, "options": {"port": -1}})
    assert found == [*(f"/colos/{n}" for n in range(0, 200, 2)), "/options/port"]
    value, _ = parsing.pruned({"targets": ["a"], "colos": wrong, "x": 1, "options": {"y": 1}})
    assert isinstance(value, dict)
    assert len(value["colos"]) == 199
    assert (value["options"], "x" in value) == ({}, False)


def test_unknown_keys_are_ignored() -> None:
    parse(b'{"targets": ["a"], "x": 1, "options": {"y": {"z": []}}}')


def test_last_of_a_duplicate_key_counts() -> None:
    assert parse(b'{"targets": [""], "targets": ["a"]}').targets == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{} {}",
        b"{'targets': []}",
        b'{"targets": ["a"],}',
        b'{"targets": ["a"], "options": {"max_ttl": NaN}}',
        b'{"targets": ["a"], "options": {"max_ttl": -Infinity}}',
        b"\xef\xbb\xbf" * 2 + b"{}",
        b'{"targets": ["\xff"]}',
        b'{"targets": ["\\ud800"]}',
        '{"targets": ["a"]}'.encode("utf-16"),
        b"[" * 65_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
)
def test_malformed(body: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        parse(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
ALMOST: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"targets": JSON | st.lists(st.text(max_size=20), max_size=12)},
    optional={
        "colos": JSON | st.lists(st.text(max_size=8)),
        "options": JSON
        | st.dictionaries(
            st.sampled_from(["max_ttl", "packet_type", "packets_per_ttl", "port", "wait_time"]),
            JSON,
        ),
    },
)


@given(JSON | ALMOST)
def test_any_json(value: object) -> None:
    """Whatever JSON it is, it is taken or refused in words, and what is taken is in bounds."""
    try:
        body = parse(json.dumps(value).encode())
    except ApiError:
        return
    plain = body.options.plain()
    assert 1 <= len(body.targets) <= 10
    assert 1 <= plain.max_ttl <= 64
    assert 1 <= plain.packets_per_ttl <= 10
    assert 1_000 <= plain.wait_ms <= 5_000
    assert 0 <= plain.port <= 65_535


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    with contextlib.suppress(ApiError):
        parse(body)
