"""Runs measurements, and shows on a terminal how they go on."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from colotrace_proto.layout import TextOutput
from colotrace_proto.text import safe

from . import recent, screen
from .api import answer, client
from .api.shapes import Answer, Measurement
from .asking import Request
from .errors import CliError, RequestError
from .live.following import ID_HEADER, Watch, followed, started
from .live.state import Live
from .settings import Settings
from .views.progress import progress

T = TypeVar("T")
_AT_ONCE = 3
"""Measurements of one command that run at the same time."""
_MOST_WORDS = 60
_CANCEL_S = 2.0


@dataclass(frozen=True, slots=True)
class Traced:
    """An answer, its id if the coordinator keeps it, and its body if it came as one."""

    answer: Answer
    id: str | None
    body: bytes = b""


def waited(words: str, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, with a progress line on a terminal."""

    async def run() -> T:
        began = asyncio.get_running_loop().time()
        return await screen.shown(screen.waiting(safe(words, most=_MOST_WORDS), began), work)

    return asyncio.run(run())


async def traced(settings: Settings, request: Request, *, body: bool = False) -> list[Traced]:
    """Trace, and return an answer for each ten targets. With `body` the answers are whole bodies.

    Raises:
        RequestError: a request failed.
    """
    bodies = request.bodies()
    lives = [Live() for _ in bodies]
    by_events = screen.watched() and not body

    async def one(number: int) -> Traced:
        if by_events:
            return Traced(*await started(settings, bodies[number], Watch(lives[number])))
        reply = await client.exchange(settings, "POST", "", body=bodies[number])
        found = answer.trace_answer(reply)
        return Traced(found, reply.header(ID_HEADER) or None, reply.body)

    words = safe(f"tracing {request.in_words()}", most=_MOST_WORDS)
    began = asyncio.get_running_loop().time()
    work = _in_turn([lambda n=n: one(n) for n in range(len(bodies))])  # type: ignore[misc]
    try:
        done = await screen.shown(_live(words, began, lives), work)
    except (asyncio.CancelledError, CliError) as error:
        # What has begun can be named, though it is not printed.
        known = [live.measurement for live in lives if live.measurement]
        recent.remember(settings, [(each.id, each.colos) for each in known])
        if isinstance(error, asyncio.CancelledError):
            await _cancelled(settings, lives)
        raise
    _remember(settings, done)
    return done


async def documents(settings: Settings, request: Request, form: str) -> list[client.Reply]:
    """Trace, and return the answers in another format.

    Raises:
        RequestError: a request failed.
    """
    from urllib.parse import quote

    query = f"?format={quote(form, safe='')}"

    async def one(content: bytes) -> client.Reply:
        reply = await client.exchange(settings, "POST", query, body=content)
        answer.succeed(reply)
        return reply

    began = asyncio.get_running_loop().time()
    words = safe(f"tracing {request.in_words()}", most=_MOST_WORDS)
    work = _in_turn([lambda content=content: one(content) for content in request.bodies()])  # type: ignore[misc]
    done = await screen.shown(screen.waiting(words, began), work)
    kept = [reply.header(ID_HEADER) for reply in done]
    recent.remember(settings, [(each, request.colos or ()) for each in kept if each])
    return done


async def begun(settings: Settings, request: Request) -> list[Measurement]:
    """Start measurements without waiting for their answers.

    Raises:
        RequestError: a request failed, or the coordinator is of a release that always waits.
    """
    found: list[Measurement] = []
    for content in request.bodies():
        headers = {"prefer": "respond-async"}
        reply = await client.exchange(settings, "POST", "", body=content, headers=headers)
        answer.succeed(reply)
        if not reply.header(ID_HEADER):
            raise RequestError(
                "this coordinator keeps no measurements, so --async has no use: "
                "it is of release 0.2 or older"
            )
        found.append(answer.measurement_answer(reply))
        recent.remember(settings, [(each.id, each.colos) for each in found[-1:]])
    return found


async def watched(settings: Settings, measurement: str) -> Answer:
    """Follow a measurement to its end.

    Raises:
        RequestError: there is none, or the connection broke for long.
    """
    live = Live()
    began = asyncio.get_running_loop().time()
    draw = _live(f"following {measurement}", began, [live])
    return await screen.shown(draw, followed(settings, measurement, Watch(live)))


async def _in_turn(each: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results in order; a few run at the same time."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(start: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await start()

    failed: CliError | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(start), name="measurement") for start in each]
    except* CliError as errors:
        # One error is enough: the others have the same reason, or are its consequence.
        (failed, *_) = (error for error in errors.exceptions if isinstance(error, CliError))
    if failed is not None:
        raise failed
    return [task.result() for task in tasks]


async def _cancelled(settings: Settings, lives: Sequence[Live]) -> None:
    """Take back what still runs: a measurement that is followed by events goes on otherwise."""
    for live in lives:
        if live.measurement and not live.ended:
            with contextlib.suppress(CliError):
                path = f"/{live.measurement.id}?if=running"
                await client.exchange(settings, "DELETE", path, timeout_s=_CANCEL_S)


def _live(words: str, began: float, lives: Sequence[Live]) -> screen.Draw:
    """A line that tells how far it is, and below it the rows."""

    def draw(on: TextOutput, room: int) -> list[str]:
        rows = sum(len(live.places()) for live in lives)
        ended = sum(len(live.rows) for live in lives)
        so_far = f", {ended} of {rows} rows," if rows else ""
        return [screen.spinner(on, words, began, so_far=so_far), *progress(lives, on, room - 1)]

    return draw


def _remember(settings: Settings, done: Sequence[Traced]) -> None:
    recent.remember(settings, [(each.id, _colos(each.answer)) for each in done if each.id])


def _colos(found: Answer) -> list[str]:
    if found.measurement:
        return found.measurement.colos
    return [row.colo.name for row in found.rows[0].colos] if found.rows else []
