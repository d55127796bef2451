"""The location of an agent's host: latitude and longitude."""

import re
from typing import NamedTuple

MAX_LATITUDE, MAX_LONGITUDE = 90.0, 180.0
SYNTAX = "LAT,LON in decimal degrees, south and west negative: 39.74,-104.99"
_DEGREES = re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{1,15})?")


class Location(NamedTuple):
    """Decimal degrees (WGS 84), north and east positive."""

    latitude: float
    longitude: float

    @property
    def fault(self) -> str:
        """What is out of bounds, in words; "" if nothing is. A number that is none is, too."""
        if not -MAX_LATITUDE <= self.latitude <= MAX_LATITUDE:
            return f"the latitude {self.latitude:g} is not within -90 and 90"
        if not -MAX_LONGITUDE <= self.longitude <= MAX_LONGITUDE:
            return f"the longitude {self.longitude:g} is not within -180 and 180"
        return ""


def location_of(text: str) -> Location:
    """The location that the text states.

    Raises:
        ValueError: it states none; the text names the fault.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(map(_DEGREES.fullmatch, parts)):
        raise ValueError(f"a location is {SYNTAX}")
    location = Location(float(parts[0]), float(parts[1]))
    if location.fault:
        raise ValueError(location.fault)
    return location
