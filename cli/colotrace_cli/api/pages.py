"""Lists of the API, page by page."""

from collections.abc import Mapping
from urllib.parse import urlencode

from colotrace_cli.settings import Settings

from . import answer, client
from .shapes import Measurement


async def newest(
    settings: Settings, query: Mapping[str, object], count: int, *, most_a_page: int
) -> tuple[list[bytes], list[Measurement]]:
    """The newest measurements, at most `count`, and the bodies that they came in.

    Raises:
        RequestError: a request failed.
    """
    given = {name: value for name, value in query.items() if value}
    bodies: list[bytes] = []
    found: list[Measurement] = []
    cursor: str | None = None
    while len(found) < count:
        page: dict[str, object] = {**given, "per_page": min(count - len(found), most_a_page)}
        if cursor:
            page["cursor"] = cursor
        reply = await client.exchange(settings, "GET", "?" + urlencode(page, doseq=True))
        more, cursor = answer.measurements_answer(reply)
        bodies.append(reply.body)
        found += more
        if not cursor or not more:
            break
    return bodies, found[:count]
