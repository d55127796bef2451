"""Metrics of what runs out unless somebody acts: join tokens, and old versions of agents."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from colotrace_coordinator.errors import StoreError
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.store.enrolments import Enrolments

LOOK_EVERY_S = 15.0
MOST_VERSIONS = 20
"""Versions that are told apart, since an agent can tell any. Others count as `OTHER`."""
OTHER = "other"
_VERSION = re.compile(r"[0-9]{1,5}(\.[0-9]{1,5}){1,3}")


async def watch(
    metrics: Metrics, registry: Registry, *, version: str, tokens: Enrolments | None
) -> None:
    """Look until cancelled. `version` is the coordinator's; `tokens` None: agents do not enrol."""
    while True:
        show_versions(metrics, registry.versions(), own=version)
        if tokens is not None:
            with suppress(StoreError):  # the readiness says so; the next look may succeed
                await show_tokens(metrics, tokens)
        await asyncio.sleep(LOOK_EVERY_S)


def show_versions(metrics: Metrics, versions: Iterable[str], *, own: str) -> None:
    """Set the metric of versions. A text that is no version is not older."""
    counts = Counter(each if _VERSION.fullmatch(each) else OTHER for each in versions)
    metrics.agent_versions.clear()
    shown = dict(counts.most_common(MOST_VERSIONS))
    if rest := counts.total() - sum(shown.values()):
        shown[OTHER] = shown.get(OTHER, 0) + rest
    for version, count in shown.items():
        behind = version != OTHER and _numbers(version) < _numbers(own)
        metrics.agent_versions.labels(version=version, behind="yes" if behind else "no").set(count)


async def show_tokens(metrics: Metrics, tokens: Enrolments) -> None:
    """Set the metrics of join tokens.

    Raises:
        StoreUnavailableError: the database does not answer.
    """
    valid = await tokens.left()
    metrics.join_token_uses_left.clear()
    metrics.join_token_end.clear()
    for each in valid:
        labels = {"token": each.id, "colo": each.colo}
        metrics.join_token_uses_left.labels(**labels).set(each.uses - each.used)
        metrics.join_token_end.labels(**labels).set(each.expires_at)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"[0-9]+", version)[:4])
