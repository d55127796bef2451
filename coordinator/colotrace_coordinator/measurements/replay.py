"""Rebuilds the events of a measurement that has ended."""

import itertools

from colotrace_coordinator.live.feed import RECORDED, Feed, Kind
from colotrace_coordinator.model import Answer

from .events import end_event, message_event, row_event, start_event


async def recorded_feed(answer: Answer) -> Feed:
    """A feed that has ended, with a row event for each row."""
    summary = answer.measured.summary
    feed = Feed(begin=RECORDED)
    feed.put(Kind.START, start_event(summary))
    numbers = itertools.count()
    async for piece in answer.rows:
        for row in piece:
            number = next(numbers)
            if number in answer.measured.traces:
                feed.put(Kind.ROW, row_event(summary, number, row), row=number)
    for message in answer.messages:
        feed.put(Kind.MESSAGE, message_event(message))
    feed.put(Kind.END, end_event(summary))
    return feed
