"""Numbers and addresses in arrays of bytes are what Python writes."""

import ipaddress

import numpy as np
from colotrace_agent.bulk.text_fields import (
    LEAST_NS,
    MOST_NS,
    Field,
    Form,
    addresses,
    long_numbers,
    numbers,
    reals,
    times,
)
from hypothesis import given
from hypothesis import strategies as st


def said(row: np.ndarray) -> str:
    return row.tobytes().replace(b"\0", b"").decode()


@given(st.lists(st.integers(LEAST_NS, MOST_NS - 1), min_size=1))
def test_times(given_ns: list[int]) -> None:
    """The shortest number that is the same."""
    assert [said(row) for row in times(np.array(given_ns))] == [repr(ns / 1e6) for ns in given_ns]


def test_numbers() -> None:
    """All there are."""
    every = np.arange(1_000)
    assert [said(row) for row in numbers(every)] == [str(number) for number in every]
    some = np.arange(0, 1_000_000, 7)
    assert [said(row) for row in long_numbers(some)] == [str(number) for number in some]


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_reals(given_ones: list[float]) -> None:
    """However many digits they have."""
    assert [said(row) for row in reals(given_ones)] == [repr(number) for number in given_ones]


@given(st.data(), st.sampled_from([4, 16]))
def test_addresses(data: st.DataObject, size: int) -> None:
    """Of both families, in any shape."""
    packed = data.draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1))
    rows = np.frombuffer(b"".join(packed), np.uint8).reshape(1, len(packed), size)
    (written,) = addresses(rows)
    found = [ipaddress.ip_address(said(row)).packed for row in written]
    assert found == packed


def test_a_field_may_come_twice() -> None:
    """And leaves empty what it does not need."""
    form = Form(["a", Field("x", 4), "b", Field("x", 4), "c"])
    sheet = np.repeat(form.text[None, :], 2, axis=0)
    form.fill(sheet, {"x": numbers(np.array([7, 123]))})
    assert [said(row) for row in sheet] == ["a7b7c", "a123b123c"]
