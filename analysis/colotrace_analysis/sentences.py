"""Parts of the sentences in which findings are told. Texts from outside are put in as they are."""

from collections.abc import Sequence, Sized

MOST_NAMED = 3
"""Most items that are named rather than counted."""


def listed(items: Sequence[str], what: str) -> str:
    """`a`, `a and b`, `a, b and c`, or the number: `31 colos`, `1,200 rows`. `what` is a plural."""
    if len(items) > MOST_NAMED:
        return f"{len(items):,} {what}"
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def counted(number: int, singular: str, plural: str = "") -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def verb(items: Sized, base: str, third: str = "") -> str:
    """The verb for one or several: `passes`, `pass`."""
    return (third or base + "s") if len(items) == 1 else base


def hops_text(least: int, most: int) -> str:
    """`hop 4`, or a range of hops with an en dash."""
    return f"hop {least}" if least == most else f"hop {least}\N{EN DASH}{most}"


def short_ms(ms: float) -> str:
    """`123`, `12.3`, `0.038`: few digits, but not none."""
    return f"{ms:.{0 if ms >= 100 else 1 if ms >= 1 else 3}f}"


def ms_text(ms: float, *, signed: bool = False) -> str:
    """`12 ms`, `1.5 ms`, or with its sign, `+12 ms`."""
    size = abs(ms)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    text = f"{ms:+.{digits}f}" if signed else f"{ms:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} ms"
