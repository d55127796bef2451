"""JSON: the rows as the API's `result`, an array with an element for each target."""

from collections.abc import Iterator

from colotrace_proto.measured import Measured

from .shown import json_text, numbers_of, pieces, steps


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """One array in several lines, a line for each row."""
    del follows  # a second array needs nothing between
    return pieces(_parts(measured))


def _parts(measured: Measured) -> Iterator[str]:
    summary = measured.summary
    before = "[\n"
    for index, target in enumerate(summary.targets):
        yield f'{before}{{"target":{json_text(target)},"colos":['
        separator = "\n"
        for step in steps(measured, numbers_of(summary, index)):
            for row in step:
                yield separator + json_text(row.shown)
                separator = ",\n"
        yield "]}"
        before = ",\n"
    yield "\n]\n" if summary.targets else "[]\n"
