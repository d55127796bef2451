"""Columns of whole numbers as bytes.

A column has the least width that its numbers need: 1, 2, 4 or 8 bytes. The first bytes of all
numbers (the least significant) come first, then the second bytes, and so on: the upper bytes hardly
change from one number to the next, so they compress well. `array` and slices do this in C; numpy's
calls cost several times as much for the few numbers of one row.
"""

from array import array
from collections.abc import Sequence

from .seal import DamageError

Column = tuple[int, bytes]
"""The width in bytes, and the planes."""

_WIDE = (("H", 2), ("I", 4), ("Q", 8))
_CODES = {width: code for code, width in _WIDE}


def packed(numbers: Sequence[int]) -> Column:
    """The column of numbers from 0 to 2^64 - 1.

    Raises:
        OverflowError: a number is outside of that.
    """
    try:
        return 1, bytes(numbers)
    except ValueError:
        pass
    most = max(numbers)
    code, width = next((each for each in _WIDE if most < 1 << 8 * each[1]), _WIDE[-1])
    data = array(code, numbers).tobytes()
    return width, b"".join([data[plane::width] for plane in range(width)])


def flat(numbers: Sequence[int]) -> bytes:
    """The column of the numbers as a value of the database: the width, and the planes."""
    width, planes = packed(numbers)
    return bytes([width]) + planes


def of_flat(value: object) -> Sequence[int]:
    """The numbers of a column in the database.

    Raises:
        DamageError: it is none.
    """
    if not isinstance(value, bytes) or not value:  # a column of SQLite may have any type
        raise DamageError("a column without its width")
    return unpacked((value[0], value[1:]))


def unpacked(column: Column) -> Sequence[int]:
    """The numbers of the column.

    Raises:
        DamageError: it is no column.
    """
    width, data = column
    if width == 1:
        return data
    code = _CODES.get(width)
    count, rest = divmod(len(data), width)
    if code is None or rest:
        raise DamageError("a column has another length than its numbers")
    mixed = bytearray(len(data))
    for plane in range(width):
        mixed[plane::width] = data[plane * count : (plane + 1) * count]
    numbers = array(code)
    numbers.frombytes(mixed)
    return numbers
