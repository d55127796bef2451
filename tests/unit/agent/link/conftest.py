"""What a stream logs."""

import asyncio
from collections.abc import Iterator

import pytest
import structlog


class Log:
    """The warnings of a stream: why the agent is not attached."""

    def __init__(self) -> None:
        self.reasons: asyncio.Queue[str] = asyncio.Queue()

    def __call__(
        self, _: object, level: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Keep a warning, and print nothing."""
        if level == "warning":
            self.reasons.put_nowait(f"{event['event']}: {event['reason']}")
        raise structlog.DropEvent

    async def next(self) -> str:
        """The next reason."""
        async with asyncio.timeout(20):
            return await self.reasons.get()


@pytest.fixture
def log() -> Iterator[Log]:
    """What the stream logs."""
    kept = Log()
    processors = structlog.get_config()["processors"]
    before = list(processors)
    processors[:] = [kept]
    yield kept
    processors[:] = before
