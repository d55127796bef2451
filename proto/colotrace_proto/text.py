"""Escapes and shortens untrusted text before it is printed or logged.

All text from outside the program passes `safe` before it is printed or logged: names, paths,
targets, colo names, cities, errors of brokers and peers. Logs apply it to every value
(`safe_event`).

Control characters, invisible characters, and characters that change the reading order are written
as escapes: `\\x1b`, `\\u202e`, `\\U000e0001`. These are all characters that `str.isprintable`
refuses: controls (C0, DEL, C1, so every ANSI sequence), format characters (bidirectional controls
and isolates, zero-width characters, tags), line and paragraph separators, spaces other than U+0020,
unpaired surrogates, private-use and unassigned code points. Invisible characters that `isprintable`
accepts are escaped, too. A byte that Python read with `surrogateescape` is written as that byte,
`\\xfc`. Backslashes are not escaped, so the result is for people, not for a parser.
"""

import re
import unicodedata
from collections.abc import Mapping, MutableMapping
from itertools import islice
from typing import Any

MOST = 255
"""Default maximum of characters; a DNS name has at most 253."""
ELLIPSIS = "…"

_MOST_IN_LOG = 500
_MOST_OF_TRACEBACK = 16_000
_MOST_ITEMS = 50
_MOST_DEPTH = 4
_OF_SEVERAL_LINES = frozenset({"exception", "stack"})

# The characters of Default_Ignorable_Code_Point (DerivedCoreProperties.txt) that `isprintable`
# accepts, and BRAILLE PATTERN BLANK, which is empty, too.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_MOST_MARKS = 3
"""Most combining marks on one character. Vietnamese and Hebrew need two; many marks would cover
other lines."""
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF  # where `surrogateescape` puts bytes
_IN_ASCII = {"…": "...", "→": "->", "×": "x", "─": "-", "–": "-", "·": "-"}  # noqa: RUF001


def safe(text: str, *, most: int = MOST) -> str:
    """The text with escapes, as described in the module.

    The result has at most `most` (at least 1) characters; a shortened one ends in an ellipsis. An
    escape is never cut. The run time depends on `most`, not on the length of the text.
    """
    if len(text) <= most and text.isascii() and text.isprintable():
        return text
    parts: list[str] = []
    length, marks = 0, _MOST_MARKS  # a mark at the start would change the character before the text
    fits_with_ellipsis = 0
    for character in text[: most + 1]:
        part = character
        if not character.isprintable() or _INVISIBLE.match(character):
            part, marks = _escape(character), _MOST_MARKS
        elif unicodedata.category(character) in ("Mn", "Me"):
            marks += 1
            if marks > _MOST_MARKS:
                part = _escape(character)
        else:
            marks = 0
        length += len(part)
        if length > most:
            return "".join(parts[:fits_with_ellipsis]) + ELLIPSIS
        parts.append(part)
        if length < most:
            fits_with_ellipsis = len(parts)
    return "".join(parts)


def safe_lines(text: str, *, most: int) -> str:
    """Like `safe`, for a text of several lines such as a traceback.

    Line breaks stay. If the text has more than `most` characters, its beginning is left out, since
    the end of a traceback is more useful.
    """
    kept = text if len(text) <= most else ELLIPSIS + text[-(most - 1) :]
    return "\n".join(safe(line, most=most) for line in kept.split("\n"))


def safe_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A processor for structlog that escapes and bounds every value of an event.

    Put it after the processors that add values, before the renderer. Values other than numbers,
    booleans and None become text. A traceback keeps its line breaks.
    """
    return {
        safe(str(key), most=_MOST_IN_LOG): (
            safe_lines(value, most=_MOST_OF_TRACEBACK)
            if key in _OF_SEVERAL_LINES and isinstance(value, str)
            else _value(value, _MOST_DEPTH)
        )
        for key, value in _some(event)
    }


def safe_json(content: str) -> str:
    """The JSON text with control and invisible characters as JSON escapes; its value is
    unchanged."""
    if content.isascii() and "\x7f" not in content:
        return content  # JSON has no other controls than white space
    return "".join(
        character
        if character == "\n" or (character.isprintable() and not _INVISIBLE.match(character))
        else _escape_in_json(character)
        for character in content
    )


def encodable(text: str, encoding: str) -> str:
    """The text with substitutes for characters that the encoding lacks.

    Symbols that this program uses get similar ASCII (`…` is `...`), other characters escapes.
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "".join(_in(encoding, character) for character in text)
    return text


def width(text: str) -> int:
    """Columns of the text on a terminal: two for a wide character, none for a combining one
    (UAX 11)."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fit(text: str, columns: int, *, ellipsis: str = ELLIPSIS) -> str:
    """The text in at most `columns`; its middle is left out.

    Both ends of a router's name are useful: interface and router at one end, network at the other.
    """
    if width(text) <= columns:
        return text
    room = columns - width(ellipsis)
    if room <= 0:
        return ellipsis[:columns]
    back = _last(text, room // 2)
    return _first(text, room - width(back)) + ellipsis + back


def _first(text: str, columns: int) -> str:
    taken = 0
    for place, character in enumerate(text):
        taken += width(character)
        if taken > columns:
            return text[:place]
    return text


def _last(text: str, columns: int) -> str:
    taken, begin = 0, len(text)
    for place in range(len(text) - 1, -1, -1):
        wide = width(text[place])
        taken += wide
        if taken > columns:
            break
        if wide:  # never begin with a combining mark, which belongs to a character left out
            begin = place
    return text[begin:]


def _escape(character: str) -> str:
    number = ord(character)
    if _FIRST_BYTE <= number <= _LAST_BYTE:
        number -= _FIRST_BYTE - 0x80
    if number < 0x100:
        return _SHORT.get(character) or f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _escape_in_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _in(encoding: str, character: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return _IN_ASCII.get(character) or _escape(character)
    return character


def _value(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return safe(value, most=_MOST_IN_LOG)
    if depth and isinstance(value, Mapping):
        return {
            safe(str(key), most=_MOST_IN_LOG): _value(each, depth - 1) for key, each in _some(value)
        }
    if depth and isinstance(value, list | tuple | set | frozenset):
        shown = [_value(each, depth - 1) for each in islice(value, _MOST_ITEMS)]
        return shown if len(value) <= _MOST_ITEMS else [*shown, ELLIPSIS]
    return safe(str(value), most=_MOST_IN_LOG)


def _some(values: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return list(islice(values.items(), _MOST_ITEMS))
