"""Follows a measurement's events over broken connections."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from colotrace_proto.text import safe

from colotrace_cli.api import answer, client
from colotrace_cli.api.shapes import Answer
from colotrace_cli.errors import DisconnectedError, RequestError
from colotrace_cli.settings import Settings

from . import sse
from .state import Live

ID_HEADER = "measurement-id"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 4.0
_MOST_FAILURES = 8
"""Connections in a row without an event before giving up, after about 20 s."""
_NO_EVENTS = (404, 405, 406, 415)


@dataclass(frozen=True, slots=True)
class Watch:
    """A measurement that is being watched: its state, and what to do when that changes."""

    live: Live
    changed: Callable[[], None] = lambda: None
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


async def started(settings: Settings, body: bytes, watch: Watch) -> tuple[Answer, str | None]:
    """Start a measurement, and return its answer when it has ended, and its id if it is kept.

    A coordinator that sends no events (of an older release) answers as without them.

    Raises:
        RequestError: the request failed, or the connection broke and could not be made again.
    """
    headers = {"accept": client.EVENTS}
    known: str | None = None
    parser = sse.Parser()
    try:
        async with client.stream(settings, "POST", "", body=body, headers=headers) as reply:
            known = reply.headers.get(ID_HEADER)
            if reply.events:
                await _take(reply, parser, watch)
            else:
                whole = await reply.whole()
                if whole.status not in _NO_EVENTS:
                    return answer.trace_answer(whole), known
    except DisconnectedError:
        known = _id_of(watch.live) or known
        if known is None:
            raise  # asking again might measure twice
    known = _id_of(watch.live) or known
    if known is None:  # no events were offered
        whole = await client.exchange(settings, "POST", "", body=body)
        return answer.trace_answer(whole), whole.header(ID_HEADER) or None
    return await _rest(settings, known, parser, watch), known


async def followed(settings: Settings, measurement: str, watch: Watch) -> Answer:
    """Follow a measurement to its end, and return its answer.

    Raises:
        RequestError: there is no such measurement, or the connection could not be made again.
    """
    return await _rest(settings, measurement, sse.Parser(), watch)


def _id_of(live: Live) -> str | None:
    return live.measurement.id if live.measurement else None


def _remedy(known: str) -> str:
    return f"see what there is, here or at another coordinator, with: colotrace show {safe(known)}"


async def _rest(settings: Settings, known: str, parser: sse.Parser, watch: Watch) -> Answer:
    """Connect until the measurement has ended."""
    failures = 0
    live = watch.live
    while not live.ended:
        before = parser.last_id
        try:
            if not await _connected(settings, known, parser, watch):
                break
        except DisconnectedError as error:
            if failures >= _MOST_FAILURES:
                raise DisconnectedError(f"{error}; {_remedy(known)}") from error
        failures = 0 if parser.last_id != before else failures + 1
        if failures > _MOST_FAILURES:
            raise DisconnectedError(
                f"{settings.url}: the events of {safe(known)} ended too early, again and again; "
                f"{_remedy(known)}"
            )
        if not live.ended:
            await watch.pause(min(_FIRST_PAUSE_S * 2**failures, _LONGEST_PAUSE_S))
    if live.whole:
        return live.answer()
    # Rows are missing: the measurement was cancelled, or its coordinator died.
    return answer.trace_answer(await client.exchange(settings, "GET", f"/{known}"))


async def _connected(settings: Settings, known: str, parser: sse.Parser, watch: Watch) -> bool:
    """Take the events of one connection; False if there are none to be had."""
    headers: Mapping[str, str] = {"accept": client.EVENTS}
    if parser.last_id:
        headers = {**headers, "last-event-id": parser.last_id}
    async with client.stream(settings, "GET", f"/{known}/events", headers=headers) as reply:
        if reply.events:
            parser.restart()
            await _take(reply, parser, watch)
            return True
        whole = await reply.whole()
    if whole.status >= 500:
        return True
    if whole.status not in _NO_EVENTS:
        answer.trace_answer(whole)
    return False


async def _take(reply: client.Stream, parser: sse.Parser, watch: Watch) -> None:
    """Take events until the stream ends."""
    try:
        async for chunk in reply.chunks:
            for event in parser.feed(chunk):
                watch.live.take(event.kind, event.data)
            watch.changed()
            if watch.live.ended:
                return
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"an event does not have the API's format ({safe(str(error))}); check that the "
            "coordinator's version is close to this program's"
        ) from error
