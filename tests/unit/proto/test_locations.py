"""Locations: their syntax and bounds."""

import math

import pytest
from colotrace_proto.locations import Location, location_of


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("39.74,-104.99", (39.74, -104.99)),
        (" 1.35 , 103.82 ", (1.35, 103.82)),
        ("+0,-0", (0, 0)),
        ("90,180", (90, 180)),
        ("-90,-180.000", (-90, -180)),
    ],
)
def test_location(text: str, location: tuple[float, float]) -> None:
    assert location_of(text) == Location(*location)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1,", ",1", "1,2,3", "1;2", "1e1,2", "inf,0", "0,nan", "0x1,2", "1.,2", "\u0661,2",
     "39.74N,104.99W", "1,2\n3", "1" * 500 + ",2"],
)  # fmt: skip
def test_text_without_a_location_shows_the_syntax(text: str) -> None:
    with pytest.raises(ValueError, match="39\\.74,-104\\.99"):
        location_of(text)


@pytest.mark.parametrize(
    ("location", "fault"),
    [
        ((90.01, 0), "the latitude 90.01 is not within -90 and 90"),
        ((-91, 0), "the latitude -91 is not within -90 and 90"),
        ((0, 180.5), "the longitude 180.5 is not within -180 and 180"),
        ((0, -999), "the longitude -999 is not within -180 and 180"),
        ((math.nan, 0), "the latitude nan is not within -90 and 90"),
        ((0, math.inf), "the longitude inf is not within -180 and 180"),
        ((0, math.nan), "the longitude nan is not within -180 and 180"),
        ((89.9, -179.9), ""),
    ],
)
def test_fault_names_what_is_out_of_bounds(location: tuple[float, float], fault: str) -> None:
    assert Location(*location).fault == fault
