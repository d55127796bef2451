"""A host that vanishes without closing its connections, while nothing is asked of it."""

from __future__ import annotations

import asyncio
import time

import pytest
from eventually import until
from fleet import Fleet

_WITHIN_S = 15.0


@pytest.mark.parametrize("own_fleet", ["direct"], indirect=True)
async def test_vanished_agent_is_listed_as_down_within_15_s(own_fleet: Fleet) -> None:
    """Without waiting for heartbeats, which are rare. It attaches again when it is back."""

    async def state_of_fra01() -> str:
        colos = await asyncio.to_thread(own_fleet.colos)
        return next(str(colo["state"]) for colo in colos if colo["name"] == "fra01")

    async def down() -> bool:
        return await state_of_fra01() == "down"

    async def up() -> bool:
        return await state_of_fra01() == "up"

    assert await up()
    began = time.monotonic()
    own_fleet.freeze_agent("fra01-a")
    await until(down, within_s=_WITHIN_S + 2)
    assert time.monotonic() - began < _WITHIN_S
    own_fleet.thaw_agent("fra01-a")
    await until(up, within_s=10)
