"""JSON: the rows as the API's `result`, an array with an element for each target."""

from collections.abc import Iterator

from colotrace_proto.measured import Measured

from .shown import json_text, numbers_of, steps


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """One array in several lines, a line for each row."""
    del follows  # a second array needs nothing between
    summary = measured.summary
    before = "[\n"
    for index, target in enumerate(summary.targets):
        yield f'{before}{{"target":{json_text(target)},"colos":['
        separator = "\n"
        for step in steps(measured, numbers_of(summary, index)):
            yield separator + ",\n".join(json_text(row.shown) for row in step)
            separator = ",\n"
        yield "]}"
        before = ",\n"
    yield "\n]\n" if summary.targets else "[]\n"
