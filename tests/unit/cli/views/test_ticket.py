"""The Markdown of a guarded command."""

from colotrace_cli.api.shapes import Answer, ChangedHop, Difference, RowChange
from colotrace_cli.views.ticket import Guarded, markdown


def test_what_is_left_out_of_a_difference_is_counted():
    """Hops beyond those of an ordinary path, and those that the coordinator did not list."""
    hops = [ChangedHop(ttl=ttl, ip=f"192.0.2.{ttl}") for ttl in range(1, 51)]
    change = RowChange("198.51.100.1", "den01", went=hops, left_out=7)
    sentences = ["1 row compared: 1 row differs", "too many to list: 7 more changed hops"]
    lines = markdown(
        Guarded(
            command="true",
            code=0,
            took_s=1.0,
            why="",
            targets=["198.51.100.1"],
            colos=None,
            before=[("a", Answer([], []))],
            after=[("b", Answer([], []))],
            differences=[Difference("a", "b", empty=False, in_words=sentences, changes=[change])],
            traces=2,
            within_s=2.0,
            stable=True,
        )
    )
    assert sum(line.startswith("- `hop ") for line in lines) == 40
    assert "- `and 10 more changed hops (colotrace diff --full)`" in lines
    assert "- `and 7 more changed hops and ASes, too many to list`" in lines
    assert "- `too many to list: 7 more changed hops`" in lines
