"""Follows the CA while it is replaced: who signs, and who is trusted."""

import asyncio
from collections.abc import Sequence

import structlog

from colotrace_coordinator.authority.generations import Generations
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.certificates import Reload
from colotrace_coordinator.errors import SetupError, StoreError
from colotrace_coordinator.store.authorities import Authorities

from .own_certificate import OwnCertificate

LOOK_EVERY_S = 5.0

log = structlog.get_logger(__name__)


class Rotation:
    """Reads the authorities from the database, and retires those of which all has ended."""

    def __init__(
        self,
        authorities: Authorities,
        generations: Generations,
        seal: Seal,
        certificate: OwnCertificate,
        *,
        lifetime_s: float,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """`lifetime_s`: of agents' certificates."""
        self._authorities = authorities
        self._generations = generations
        self._seal = seal
        self._certificate = certificate
        self._lifetime_s = lifetime_s
        self._look_every_s = look_every_s
        self._loaded = generations.state
        self._trouble = ""

    async def run(self, reloads: Sequence[Reload]) -> None:
        """Look until cancelled. Whenever another authority signs or is trusted, the coordinator's
        own certificate is issued again, and loaded by `reloads`."""
        while True:
            await asyncio.sleep(self._look_every_s)
            await self.look(reloads)

    async def look(self, reloads: Sequence[Reload]) -> None:
        """Look once; see `run`. Without the database, or with a wrong secret, nothing is read."""
        try:
            await self._authorities.read(self._generations, self._seal)
            if ended := self._generations.ended(lifetime_s=self._lifetime_s):
                await self._authorities.retire(ended)
                await self._authorities.read(self._generations, self._seal)
            self._trouble = ""
        except (StoreError, SetupError) as error:
            if self._trouble != str(error):
                log.warning("authorities_not_read", detail=str(error))
            self._trouble = str(error)
        state = self._generations.state
        if state != self._loaded and self._certificate.renew(reloads):
            self._loaded = state
            log.info("authority_changed", signing=state[0], trusted=list(state[1:]))
