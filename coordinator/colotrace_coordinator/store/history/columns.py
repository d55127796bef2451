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
