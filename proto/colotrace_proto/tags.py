"""Tags of an agent, KEY=VALUE: their syntax and bounds.

Keys are in lower case. Values keep theirs, but are compared without regard to it.
"""

import re
from typing import NamedTuple, Self

MAX_TAGS = 16
"""Of one agent."""
SYNTAX = (
    "KEY=VALUE, with a key of 1 to 32 of [a-z0-9._-] and a value of 1 to 64 of [A-Za-z0-9._:/@+-]"
)
_KEY = re.compile(r"[a-z0-9._-]{1,32}")
_VALUE = re.compile(r"[A-Za-z0-9._:/@+-]{1,64}")


class Tag(NamedTuple):
    """A tag: provider=x."""

    key: str
    value: str

    @property
    def valid(self) -> bool:
        """Whether both parts follow the syntax."""
        return bool(_KEY.fullmatch(self.key) and _VALUE.fullmatch(self.value))

    def folded(self) -> Self:
        """The tag as it is compared with others."""
        return self._replace(value=self.value.lower())


def tag_of(text: str) -> Tag | None:
    """The tag that the text is; None if it is none. The case of its key does not matter."""
    key, equals, value = text.partition("=")
    tag = Tag(key.lower(), value)
    return tag if equals and tag.valid else None
