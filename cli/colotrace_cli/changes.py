"""Asks for the differences of measurements."""

from collections.abc import Sequence

from .api import answer, client
from .api.shapes import Difference
from .errors import RequestError
from .runs import Traced
from .settings import Settings


async def difference(settings: Settings, before: str, after: str) -> tuple[Difference, bytes]:
    """The differences of two measurements, by their ids, and the body that they came in.

    Raises:
        RequestError: the request failed, or there is no such measurement.
    """
    reply = await client.exchange(settings, "GET", f"/{before}/diff/{after}")
    return answer.result_answer(reply, Difference), reply.body


async def differences(
    settings: Settings, before: Sequence[Traced], after: Sequence[Traced]
) -> list[Difference]:
    """The differences of a request's measurements to those of the same request later.

    Raises:
        RequestError: a request failed, or the coordinator keeps no measurements.
    """
    pairs = zip(ids(before), ids(after), strict=True)
    return [(await difference(settings, *pair))[0] for pair in pairs]


def ids(traced: Sequence[Traced]) -> list[str]:
    """The ids of measurements, to compare them.

    Raises:
        RequestError: the coordinator does not keep them.
    """
    known = [each.id for each in traced if each.id]
    if len(known) < len(traced):
        raise RequestError(
            "this coordinator keeps no measurements, so they cannot be compared: "
            "it is of release 0.2 or older"
        )
    return known
