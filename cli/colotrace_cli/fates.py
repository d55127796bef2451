"""Asks what rows that are slow, lossy or without an answer have in common."""

from collections.abc import Sequence

from colotrace_proto import rows

from . import runs
from .api import answer, client
from .api.shapes import Graph
from .errors import CliError
from .runs import Traced
from .settings import Settings

_LEAST_FOR_SLOW = 5
"""Rows of a target below which the coordinator calls none slow."""
_TIMEOUT_S = 3.0


def sentences(settings: Settings, traced: Traced) -> list[str]:
    """A sentence for each finding, not yet safe to print.

    It is an addition: there is none if no row can be bad, or if the coordinator doesn't tell.
    """
    if not traced.id or not any(map(_may_share, traced.answer.rows)):
        return []
    work = client.exchange(settings, "GET", f"/{traced.id}/graph", timeout_s=_TIMEOUT_S)
    try:
        found = answer.result_answer(runs.waited("comparing the colos", work), Graph)
    except CliError:
        return []
    return [each.in_words for each in found.fate.findings] if found.fate else []


def _may_share(target: rows.TargetRow) -> bool:
    colos: Sequence[rows.ColoRow] = target.colos
    if len(colos) >= _LEAST_FOR_SLOW:
        return True
    return len(colos) > 1 and any(
        not row.error
        and (not row.target_summary.packet_count or (row.hops and row.hops[-1].packets_lost))
        for row in colos
    )
