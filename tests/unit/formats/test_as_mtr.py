"""mtr's shape. tests/integration/formats compares it with mtr itself."""

from .samples import CASES, lines, plain

REPORT = {"src": str, "dst": str, "tos": int, "tests": int, "psize": str, "bitpattern": str}
HUB = {
    "count": int,
    "host": str,
    "ASN": str,
    "Loss%": float,
    "Snt": int,
    "Last": float,
    "Avg": float,
    "Best": float,
    "Wrst": float,
    "StDev": float,
}


def types(found: dict) -> list[tuple[str, type]]:
    return [(key, type(value)) for key, value in found.items()]


def test_report_has_mtrs_keys_in_its_order() -> None:
    for document in lines("mtr", plain()):
        assert list(document) == ["report"]
        assert list(document["report"]) == ["mtr", "hubs"]
        assert types(document["report"]["mtr"]) == list(REPORT.items())
        for hub in document["report"]["hubs"]:
            assert types(hub) == list(HUB.items())


def test_hub_has_the_figures_of_all_answers_at_its_ttl() -> None:
    hubs = lines("mtr", plain())[0]["report"]["hubs"]
    assert hubs[1]["host"] == "???"
    assert (hubs[1]["Loss%"], hubs[1]["Snt"], hubs[1]["Best"]) == (100.0, 3, 0.0)
    assert (hubs[2]["host"], hubs[2]["Loss%"], hubs[2]["Last"]) == ("192.0.2.2", 33.333, 11.5)
    assert (hubs[2]["Avg"], hubs[2]["StDev"]) == (10.875, 0.884)


def test_without_any_as_there_is_no_column_for_it() -> None:
    (document,) = lines("mtr", CASES["release 0.2"])
    assert all("ASN" not in hub for hub in document["report"]["hubs"])


def test_row_with_an_error_has_it() -> None:
    (document,) = lines("mtr", CASES["unresolved"])
    assert document["report"]["error"] == "Could not gather traceroute data: Code 3"
    assert document["report"]["hubs"] == []
