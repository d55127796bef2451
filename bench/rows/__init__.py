"""The subjects, in the order in which they are measured: one file each, listed in `ALL`.

To add one: a module with a `SUBJECT`, and its name below.
"""

from bench.rows import agent_process, cold_start, engine, whole_stack
from bench.rows.subject import Subject

ALL: tuple[Subject, ...] = (
    whole_stack.SUBJECT,
    engine.SUBJECT,
    agent_process.SUBJECT,
    cold_start.SUBJECT,
)

__all__ = ["ALL", "Subject"]
