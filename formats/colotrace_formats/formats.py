"""The table of formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from colotrace_proto.measured import Measured

LINES = "application/x-ndjson"
"""One JSON document a line. No registered type tells what these documents are, so a parameter
does: `application/x-ndjson; format=atlas`."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its name, its media type in lower case without parameters, and the extension of
    its files. `is_lines`: it is told apart from others of its media type by a parameter `format`.
    """

    name: str
    media_type: str
    extension: str
    about: str
    is_lines: bool = False

    @property
    def content_type(self) -> str:
        """The value of Content-Type."""
        if self.is_lines:
            return f"{self.media_type}; format={self.name}"
        if self.media_type.startswith("text/"):
            return f"{self.media_type}; charset=utf-8"
        return self.media_type

    @property
    def is_for_people(self) -> bool:
        """Whether people read it as it is. It then has the notes of the rows, too."""
        return self.name in ("text", "markdown", "html")

    def render(self, measured: Measured, *, follows: bool = False) -> Iterator[str]:
        """The measurement as text, in pieces (see the package)."""
        return cast("Iterator[str]", self._module().render(measured, follows=follows))

    def load(self) -> None:
        """Import what rendering needs. Otherwise the first rendering does, since a program's start
        is not to wait for formats that it does not write."""
        self._module()

    def _module(self) -> ModuleType:
        return import_module(f"{__package__}.as_{self.name}")


FORMATS = {
    each.name: each
    for each in (
        Format("json", "application/json", "json", "rows as the API has them"),
        Format("csv", "text/csv", "csv", "a line for each node"),
        Format("text", "text/plain", "txt", "as traceroute prints"),
        Format("markdown", "text/markdown", "md", "tables for a ticket"),
        Format("mtr", LINES, "mtr.jsonl", "as mtr --json prints", is_lines=True),
        Format("atlas", LINES, "atlas.jsonl", "results as of RIPE Atlas", is_lines=True),
        Format("scamper", LINES, "scamper.jsonl", "traces as scamper writes", is_lines=True),
        Format("dot", "text/vnd.graphviz", "dot", "the merged paths, for Graphviz"),
        Format("html", "text/html", "html", "one page that needs nothing else, as evidence"),
    )
}
"""By name."""

JSON = FORMATS["json"]
