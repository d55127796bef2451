"""Colos that a request selects, and its address family: with real agents and resolvers."""

from __future__ import annotations

from typing import Any

import pytest
from fleet import Fleet
from fleet.asking import ask


async def rows(fleet: Fleet, target: str, *colos: str, **options: Any) -> dict[str, Any]:
    """The rows of one target by colo, with the messages about them."""
    answer = await ask(fleet, {"targets": [target], "colos": list(colos), "options": options})
    assert answer["success"], answer["errors"]
    (row,) = answer["result"]
    messages = [each["message"] for each in answer["messages"]]
    return {colo["colo"]["name"]: colo | {"messages": messages} for colo in row["colos"]}


@pytest.mark.parametrize(
    ("colos", "expected"),
    [
        (["country:de"], {"fra01"}),
        (["den", "fra", "country:US", "city:Denver"], {"den01", "den02"}),
        (["den02", "sin", "country:US"], {"den02"}),
    ],
)
async def test_selected_colos_are_traced(
    fleet: Fleet, colos: list[str], expected: set[str]
) -> None:
    found = await rows(fleet, fleet.lab.address("web"), *colos)
    assert set(found) == expected
    assert all(row["error"] == "" for row in found.values())


async def test_limit_takes_one_colo_of_each_country_first(fleet: Fleet) -> None:
    found = await rows(fleet, fleet.lab.address("web"), "limit:3")
    assert len({row["colo"]["city"].rpartition(", ")[2] for row in found.values()}) == 3


@pytest.mark.parametrize("family", [4, 6])
async def test_dual_stack_name_is_traced_by_the_family_asked_for(fleet: Fleet, family: int) -> None:
    found = await rows(fleet, "web.lab.example", "den01", "fra01", family=family)
    for row in found.values():
        assert row["error"] == ""
        assert row["target_summary"]["ip"] == fleet.lab.address("web", family=family)
        assert row["target_summary"]["packet_count"] > 0


@pytest.mark.parametrize(("name", "family"), [("v4only", 6), ("v6only", 4)])
async def test_name_without_the_family_is_an_error_of_its_row(
    fleet: Fleet, name: str, family: int
) -> None:
    (row,) = (await rows(fleet, f"{name}.lab.example", "den01", family=family)).values()
    assert row["error"].endswith("Code 3")
    (message,) = row["messages"]
    assert message.endswith(f"{name}.lab.example does not resolve: it has no IPv{family} address")
