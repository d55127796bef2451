"""The subjects, in the order in which they are measured: one file each, listed in `ALL`.

To add one: a module with a `SUBJECT`, and its name below.
"""

from bench.rows import (
    agent_process,
    bulk,
    bus,
    busy,
    cold_start,
    engine,
    foreign,
    in_flight,
    rate,
    requests,
    silent,
    whole_stack,
)
from bench.rows.subject import Subject

ALL: tuple[Subject, ...] = (
    engine.SUBJECT,
    whole_stack.SUBJECT,
    bus.SUBJECT,
    requests.SUBJECT,
    silent.SUBJECT,
    cold_start.SUBJECT,
    bulk.SUBJECT,
    rate.SUBJECT,
    in_flight.SUBJECT,
    busy.SUBJECT,
    agent_process.SUBJECT,
    foreign.SUBJECT,
)

__all__ = ["ALL", "Subject"]
