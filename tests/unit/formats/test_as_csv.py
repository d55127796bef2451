"""CSV as Python's reader and SQLite take it."""

import csv
import io
import sqlite3

import pytest
from colotrace_proto.measured import Measured

from .samples import CASES, EVIL, ID, evil, plain, written


def read(what: Measured) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written("csv", what)), strict=True))


def test_each_node_has_a_line() -> None:
    rows = read(plain())
    assert [row["ttl"] for row in rows] == ["1", "2", "3", "3", "4", "1", "2", "3"]
    assert rows[0]["measurement"] == ID
    assert rows[0]["city"] == "Denver, CO, US"
    assert (rows[0]["ip"], rows[0]["name"], rows[0]["asn"]) == ("192.0.2.1", "gw.den.example", "")
    assert float(rows[0]["min_rtt_ms"]) == 0.3
    assert (rows[1]["ip"], rows[1]["packets_lost"], rows[1]["min_rtt_ms"]) == ("", "3", "")
    assert rows[6]["labels"] == "MPLS:L=24015,E=0,S=1,T=1"


def test_row_without_hops_has_a_line() -> None:
    (row,) = read(CASES["unresolved"])
    assert row["error"] == "Could not gather traceroute data: Code 3"
    assert (row["target"], row["target_ip"], row["ttl"]) == ("nosuch.example", "", "")


def test_sqlite_can_sum_up() -> None:
    rows = list(csv.reader(io.StringIO(written("csv", plain()))))
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE TABLE nodes ({', '.join(rows[0])})")
    places = ", ".join("?" * len(rows[0]))
    database.executemany(f"INSERT INTO nodes VALUES ({places})", rows[1:])  # noqa: S608 - "?"
    found = database.execute(
        "SELECT colo, sum(packet_count) FROM nodes WHERE ip != '' GROUP BY colo ORDER BY colo"
    )
    assert found.fetchall() == [("den01", 8), ("sin01", 7)]
    database.close()


@pytest.mark.parametrize("text", EVIL, ids=repr)
def test_no_cell_is_a_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO(written("csv", evil(text))), strict=True))
    assert {len(row) for row in rows} == {len(rows[0])}
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
