"""Selectors in a request's colos: they narrow what names and codes select."""

import httpx
import pytest
from colotrace_coordinator.api.errors import UnknownColosError
from colotrace_coordinator.api.request.colos import MAX_SELECTORS, choose
from colotrace_coordinator.colos.known import KnownColos
from colotrace_coordinator.model import Message
from colotrace_proto.messages import ColoName
from colotrace_proto.tags import Tag
from unit.coordinator.api.conftest import BEARER, PATH
from unit.coordinator.api.fake_tracer import FakeTracer

CITIES = {
    "ber01": "Berlin, DE",
    "den01": "Denver, CO, US",
    "den02": "Denver, CO, US",
    "fra01": "Frankfurt, DE",
    "ham01": "",
    "pdx01": "Portland, OR, US",
    "pwm01": "Portland, ME, US",
    "sin01": "Singapore",
}


@pytest.fixture
def known() -> KnownColos:
    known = KnownColos((ColoName(name), city) for name, city in CITIES.items())
    known.tag(ColoName("ber01"), [Tag("provider", "x"), Tag("kind", "edge")])
    known.tag(ColoName("den02"), [Tag("provider", "X")])
    return known


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["country:DE"], "ber01 fra01"),
        (["Country: de "], "ber01 fra01"),
        (["country:Singapore"], "sin01"),
        (["city:Denver"], "den01 den02"),
        (["city:portland"], "pdx01 pwm01"),
        (["city:Portland,OR"], "pdx01"),
        (["city:Portland, OR, US"], "pdx01"),
        (["tag:provider=x"], "ber01 den02"),
        (["TAG:Provider=X"], "ber01 den02"),
        (["tag:provider=x", "country:us"], "den02"),
        (["den", "country:us"], "den01 den02"),
        (["fra", "den", "tag:provider=x"], "den02"),
        (["sin", "country:us", "den02", "pwm01"], "den02 pwm01"),
        (["limit:100"], " ".join(CITIES)),
        (["den", "limit:100", "limit:200"], "den01 den02"),
        (["city:Denver", "city:Denver"], "den01 den02"),
    ],
)
def test_selectors_narrow_the_union_of_names(
    known: KnownColos, asked: list[str], expected: str
) -> None:
    """In the order of the names, else by name."""
    assert list(choose(asked, known)) == expected.split()


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (["limit:3"], 3),
        (["limit:3", "limit:2"], 2),
        (["country:us", "limit:03"], 3),
        (["den", "limit:1"], 1),
    ],
)
def test_limit_is_applied_to_what_all_others_select(
    known: KnownColos, asked: list[str], chosen: int
) -> None:
    without = choose([entry for entry in asked if not entry.startswith("limit")], known)
    found = choose(asked, known)
    assert len(found) == chosen
    assert set(found) <= set(without)
    assert found == choose(asked[::-1], known)


@pytest.mark.parametrize(
    ("asked", "faults"),
    [
        (["den", "country:FR"], [(1, "No colo matches country:FR")]),
        (["tag:a=b", "city:x"], [(0, "No colo matches tag:a=b"), (1, "No colo matches city:x")]),
        (
            ["country:DE", "city:Denver"],
            [(1, "No colo that is left by the other entries matches city:Denver")],
        ),
        (
            ["country:DE", "den"],
            [(0, "No colo that is left by the other entries matches country:DE")],
        ),
        (["country:US, CO"], [(0, "No colo matches country:US, CO")]),
        (["city:Den"], [(0, "No colo matches city:Den")]),
        (["nope", "country:FR"], [(0, "Colo is not a valid colo")]),
        (["city:\x1b[2J"], [(0, "No colo matches city:\\x1b[2J")]),
    ],
)
def test_selector_that_matches_nothing_is_named(
    known: KnownColos, asked: list[str], faults: list[tuple[int, str]]
) -> None:
    found = refused(asked, known)
    assert found == [Message(1005, text, f"/colos/{n}") for n, text in faults]


def test_no_colo_is_known() -> None:
    (fault,) = refused(["limit:5"], KnownColos())
    assert (fault.code, fault.pointer) == (1005, "/colos/0")


@pytest.mark.parametrize("entry", ["foo:bar", ":", "den:01", "countries:DE", "::1", "lim it:5"])
def test_unknown_selector_is_an_unknown_colo(known: KnownColos, entry: str) -> None:
    (fault,) = refused(["den", entry], known)
    assert (fault.code, fault.pointer) == (1005, "/colos/1")
    assert "country:, city:, tag: and limit:" in fault.message


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("limit:", "as in limit:5"),
        ("limit:0", "1 or more"),
        ("limit:-1", "1 or more"),
        ("limit:5.0", "1 or more"),
        ("limit:\u0665", "1 or more"),
        ("limit:9999999999", "1 or more"),
        ("limit:five", "1 or more"),
        ("country:", "as in country:DE"),
        ("country: , ", "as in country:DE"),
        ("city:", "as in city:Denver"),
        ("tag:provider", "as in tag:provider=x"),
        ("tag:=x", "as in tag:provider=x"),
        ("tag:a=b c", "as in tag:provider=x"),
    ],
)
def test_malformed_selector_says_what_is_needed(known: KnownColos, entry: str, words: str) -> None:
    (fault,) = refused(["den", entry], known)
    assert (fault.code, fault.pointer) == (1001, "/colos/1")
    assert words in fault.message
    assert fault.message.startswith("colos[1]: ")


def test_unknown_names_and_malformed_selectors_are_told_together(known: KnownColos) -> None:
    faults = refused(["limit:0", "xxx", "foo:bar", "den", "yyy"], known)
    assert [fault.pointer for fault in faults] == [f"/colos/{n}" for n in (0, 1, 2, 4)]


def test_selectors_are_bounded_in_number(known: KnownColos) -> None:
    enough = ["country:DE"] * MAX_SELECTORS
    assert choose(enough, known) == ("ber01", "fra01")
    (fault,) = refused([*enough, "limit:1"] * 100, known)
    assert (fault.code, fault.pointer) == (1001, f"/colos/{MAX_SELECTORS}")


async def test_selected_colos_are_traced(client: httpx.AsyncClient, tracer: FakeTracer) -> None:
    body = {"targets": ["192.0.2.1"], "colos": ["den", "country:us", "limit:1"]}
    answer = await client.post(PATH, json=body, headers=BEARER)
    (row,) = answer.json()["result"]
    (colo,) = row["colos"]
    assert colo["colo"]["name"] in {"den01", "den02"}
    assert tracer.asked[0].colos == (colo["colo"]["name"],)
    body["colos"] = ["country:fr"]
    answer = await client.post(PATH, json=body, headers=BEARER)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error == {
        "code": 1005,
        "message": "No colo matches country:fr",
        "source": {"pointer": "/colos/0"},
    }


def refused(asked: list[str], known: KnownColos) -> list[Message]:
    with pytest.raises(UnknownColosError) as caught:
        choose(asked, known)
    return list(caught.value.faults)
