"""Renews the agent's certificate at half of its life.

The stream goes on, since the coordinator knows of the renewal. The next attachment uses the new
certificate.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import structlog
from colotrace_proto.enrolment import Certified

from colotrace_agent.errors import StartError

from .client import ANSWER_WITHIN_S, Enroller, new_key
from .state import StateDirectory, settings_of

FIRST_PAUSE_S, LAST_PAUSE_S = 30.0, 3_600.0
_JITTER = 0.1
"""Share of the certificate's life by which renewals vary, so that those of many agents spread."""
_LONGEST_SLEEP_S = 3_600.0

_T = TypeVar("_T")

_log = structlog.get_logger()


class Renewal:
    """Renews what is in a state directory."""

    def __init__(
        self,
        state: StateDirectory,
        *,
        clock: Callable[[], float] = time.time,
        first_pause_s: float = FIRST_PAUSE_S,
        renewed: Callable[[], None] = lambda: None,
        keeps_name: bool = False,
    ) -> None:
        """`renewed` is called after each renewal. `keeps_name`: the agent goes on under its name,
        whatever it is called by now."""
        self._keeps_name = keeps_name
        self._renewed = renewed
        self._state = state
        self._clock = clock
        self._first_pause_s = first_pause_s

    async def run(self) -> None:
        """Renew in time, until cancelled."""
        while True:
            ended_at = await self._until_due()
            ends_at = await self._until_renewed(ended_at)
            left_s = ends_at - self._clock()
            _log.info("certificate renewed", days=round(left_s / 86_400, 1))
            self._renewed()
            if left_s <= 0:
                # Each further one would be due at once, too.
                _log.warning(
                    "the new certificate has ended by this host's clock; set the clock",
                    ahead_s=round(-left_s),
                    next_try_in_s=round(LAST_PAUSE_S),
                )
                await asyncio.sleep(LAST_PAUSE_S)

    async def _until_due(self) -> float:
        """Returns when the certificate ends."""
        settings = self._state.settings()
        life_s = settings.ends_at - settings.certified_at
        due_at = settings.renew_at + random.uniform(-_JITTER, _JITTER) * life_s  # noqa: S311
        # In parts: the clock may be set meanwhile, and a suspended host sleeps on.
        while (left_s := due_at - self._clock()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, _LONGEST_SLEEP_S))
        return settings.ends_at

    async def _until_renewed(self, ended_at: float) -> float:
        """Try with growing pauses, whatever fails: the agent works on with the certificate that it
        has. Returns when the new certificate ends."""
        pause_s = self._first_pause_s
        while True:
            try:
                return (await _in_thread(self.renew)).ends_at
            except (StartError, OSError, ValueError) as error:
                _log.warning(
                    "certificate not renewed",
                    reason=str(error),
                    ends_in_s=round(ended_at - self._clock()),
                    next_try_in_s=round(pause_s),
                )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _key(self, pair: bytes) -> bytes:
        """A new key; or the one of the last attempt, whose answer may have been lost: by another
        one the coordinator would take this agent for somebody who has copied its key."""
        pending = self._state.pending_key()
        if pending is not None and pending not in pair:
            return pending
        key = new_key()
        self._state.keep_pending_key(key)
        return key

    def renew(self, *, within_s: float = ANSWER_WITHIN_S) -> Certified:
        """Renew once.

        Raises:
            EnrolmentError: the coordinator does not answer, or refuses.
        """
        settings = self._state.settings()
        pair = self._state.agent.read_bytes()
        authority = self._state.authority.read_bytes()
        key = self._key(pair)
        enroller = Enroller(settings.join, within_s=within_s)
        try:
            certified = enroller.renew(
                pair=pair, key=key, authority=authority, keeps_name=self._keeps_name
            )
        finally:
            if off_s := enroller.clock_off_s:
                _log.warning(
                    "this host's clock differs from the coordinator's; set it, for example by "
                    "chrony: certificates and times of measurements depend on it",
                    ahead_s=round(off_s),
                )
        renewed = settings_of(
            certified, join=settings.join, now=self._clock(), options=settings.options
        )
        self._state.keep(certified, key, settings=renewed)
        return certified


async def _in_thread(call: Callable[[], _T]) -> _T:
    """The result of a call in a thread for which the end of the program does not wait, as it would
    for those of `asyncio.to_thread`: the coordinator may take long to answer."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[_T] = loop.create_future()

    def done(error: Exception | None, value: _T | None) -> None:
        if result.done():  # cancelled
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type] # None only with an error

    def run() -> None:
        error, value = None, None
        try:
            value = call()
        except Exception as caught:  # noqa: BLE001 - raised by the caller
            error = caught
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(done, error, value)

    threading.Thread(target=run, name="renewal", daemon=True).start()
    return await result
