"""The page's matrix is that of `colotrace_analysis.matrix`, on random rows."""

import random
from typing import Any

import msgspec
from browser.conftest import ORIGIN
from colotrace_analysis.matrix import Line, matrix
from colotrace_proto import rows
from playwright.async_api import Page

READ = f"""async (answers) => {{
  const {{ Measurement }} = await import('{ORIGIN}/model/measurement.js');
  const {{ matrixOf }} = await import('{ORIGIN}/model/matrix.js');
  return answers.map((answer) => matrixOf(Measurement.of(answer).of(0)));
}}"""
CASES = 200


async def test_page_and_analysis_agree(module_tab: Page) -> None:
    targets = [_target(random.Random(seed)) for seed in range(CASES)]
    found = await module_tab.evaluate(READ, [_answer(each) for each in targets])
    for seed, (target, page) in enumerate(zip(targets, found, strict=True)):
        wanted = matrix(target)
        assert page["columns"] == wanted.columns, seed
        assert [_of_page(line) for line in page["lines"]] == [
            _of_analysis(line) for line in wanted.lines
        ], seed


def _of_page(line: dict[str, Any]) -> dict[str, Any]:
    names = ("reached", "aligned", "hops", "lost", "sent")
    cells = [
        {name: each for name, each in cell.items() if name not in ("rtt", "added", "carries")}
        | {"rtt_ms": cell["rtt"], "added_ms": cell["added"], "carries_on": cell["carries"]}
        for cell in line["cells"]
    ]
    told = {name: line[name] for name in names}
    start = line["start"] if cells else None
    return {**told, "colo": line["row"]["name"], "rtt": line["rtt"], "start": start, "cells": cells}


def _of_analysis(line: Line) -> dict[str, Any]:
    names = ("reached", "aligned", "hops", "lost", "sent", "colo")
    cells = [msgspec.to_builtins(cell) for cell in line.cells if cell is not None]
    start = next((place for place, cell in enumerate(line.cells) if cell is not None), None)
    told = {name: getattr(line, name) for name in names}
    return {**told, "rtt": line.rtt_ms, "start": start, "cells": cells}


def _answer(target: rows.TargetRow) -> dict[str, Any]:
    colos = [row.colo.name for row in target.colos]
    info = {"id": "a", "status": "complete", "targets": [target.target], "colos": colos}
    return {"result": [msgspec.to_builtins(target)], "info": info, "messages": []}


def _target(chance: random.Random) -> rows.TargetRow:
    return rows.TargetRow(
        target="t", colos=[_row(chance, number) for number in range(chance.randrange(6))]
    )


def _row(chance: random.Random, number: int) -> rows.ColoRow:
    reached = chance.random() < 0.6
    hops = [_hop(chance, ttl) for ttl in range(1, chance.randrange(1, 8))]
    end = _node(chance, "t")
    if reached:
        lost = chance.randrange(3)
        hops.append(
            rows.Hop(packets_ttl=len(hops) + 1, packets_sent=4, packets_lost=lost, nodes=[end])
        )
    timed = {"mean_rtt_ms": end.mean_rtt_ms} if reached and chance.random() < 0.9 else {}
    return rows.ColoRow(
        colo=rows.Colo(city="", name=f"c{number}"),
        error="" if chance.random() < 0.9 else rows.error_text(2),
        hops=hops if chance.random() < 0.9 else [],
        target_summary=rows.TargetSummary(
            asn="", ip="t", name="t", packet_count=3 if reached else 0, **timed
        ),
        traceroute_time_ms=1,
    )


def _hop(chance: random.Random, ttl: int) -> rows.Hop:
    if chance.random() < 0.2:
        return rows.Hop(packets_ttl=ttl, packets_sent=4, packets_lost=4, nodes=[rows.SILENCE])
    nodes = [_node(chance, f"r{chance.randrange(9)}") for _ in range(chance.choice([1, 1, 1, 2]))]
    lost = chance.choice([0, 0, 0, 1, 2, 3])
    return rows.Hop(packets_ttl=ttl, packets_sent=4, packets_lost=lost, nodes=nodes)


def _node(chance: random.Random, ip: str) -> rows.Node:
    rtt_ms = chance.randrange(1, 400) / 8
    name, asn = chance.choice([ip, "a.example"]), chance.choice(["AS64500", rows.UNKNOWN_ASN])
    return rows.Node(
        asn=asn,
        ip=ip,
        name=name,
        packet_count=3,
        min_rtt_ms=rtt_ms,
        mean_rtt_ms=rtt_ms,
        max_rtt_ms=rtt_ms,
    )
