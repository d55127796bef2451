"""The subjects in the order of measurement, one module each.

To add a subject, write a module with a `SUBJECT` and add it to `ALL`.
"""

from bench.rows import (
    agent_process,
    bulk,
    bus,
    busy,
    cold_start,
    compared,
    engine,
    followed,
    foreign,
    history,
    in_flight,
    page,
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
    followed.SUBJECT,
    compared.SUBJECT,
    page.SUBJECT,
    silent.SUBJECT,
    cold_start.SUBJECT,
    bulk.SUBJECT,
    rate.SUBJECT,
    in_flight.SUBJECT,
    busy.SUBJECT,
    history.SUBJECT,
    agent_process.SUBJECT,
    foreign.SUBJECT,
)

__all__ = ["ALL", "Subject"]
