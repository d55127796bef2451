"""The certificate authority (CA) over time: its key is replaced, and both are trusted for long.

A new authority signs from some moment after its creation on, when all coordinators know it. With
each certificate it passes on one of its own key that the former authority has signed (a cross
certificate), so that whoever trusts only the former verifies the new ones, too. The former one is
trusted until all that it has signed has ended.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from .authority import SERVER_LIFETIME_S, Authority, Issued
from .identity import AgentIdentity

SIGNS_AFTER_S = 60.0
"""So long after its creation a new authority signs: by then all coordinators have read it."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One authority. It signs from `signs_at` on, in Unix seconds. `crossed`: its certificate by
    the one before, PEM; empty for the first one."""

    number: int
    authority: Authority
    signs_at: float
    crossed: bytes


class Generations:
    """The authorities that are trusted: at least one."""

    def __init__(
        self, trusted: Sequence[Generation], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self.trusted: tuple[Generation, ...] = ()
        """Oldest first."""
        self.trust(trusted)

    def trust(self, trusted: Sequence[Generation]) -> None:
        """Trust these from now on, and no others."""
        self.trusted = tuple(sorted(trusted, key=lambda each: each.number))

    @property
    def state(self) -> tuple[int, ...]:
        """Changes whenever another authority is trusted, or signs."""
        return (self._signing.number, *(each.number for each in self.trusted))

    @property
    def signing(self) -> Authority:
        """The authority that signs now."""
        return self._signing.authority

    @property
    def certificate(self) -> bytes:
        """The certificates to trust, PEM, oldest first."""
        return b"".join(each.authority.certificate for each in self.trusted)

    @property
    def ends_at(self) -> float:
        """When the certificate of the one that signs now ends, in Unix seconds."""
        return self.signing.ends_at

    def ended(self, *, lifetime_s: float) -> list[int]:
        """The numbers of those whose last certificate has ended, if agents' certificates have this
        lifetime."""
        last_s = max(lifetime_s, SERVER_LIFETIME_S)
        return [
            former.number
            for former, successor in zip(self.trusted, self.trusted[1:], strict=False)
            if self._clock() > successor.signs_at + last_s
        ]

    def for_agent(
        self, identity: AgentIdentity, key: ec.EllipticCurvePublicKey, *, lifetime_s: float
    ) -> tuple[bytes, float]:
        """See `Authority`; with the cross certificate behind it."""
        certificate, ends_at = self.signing.for_agent(identity, key, lifetime_s=lifetime_s)
        return certificate + self._crossed, ends_at

    def for_client(self, name: str, *, lifetime_s: float = SERVER_LIFETIME_S) -> Issued:
        """See `Authority`; with the cross certificate behind it."""
        return self._chained(self.signing.for_client(name, lifetime_s=lifetime_s))

    def for_server(self, names: Sequence[str], *, lifetime_s: float = SERVER_LIFETIME_S) -> Issued:
        """See `Authority`; with the cross certificate behind it."""
        return self._chained(self.signing.for_server(names, lifetime_s=lifetime_s))

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate is of any of them, expired or not."""
        return any(each.authority.has_signed(certificate) for each in self.trusted)

    def _chained(self, issued: Issued) -> Issued:
        return replace(issued, certificate=issued.certificate + self._crossed)

    @property
    def _crossed(self) -> bytes:
        """Of use only as long as the former one is trusted."""
        signing = self._signing
        return signing.crossed if signing is not self.trusted[0] else b""

    @property
    def _signing(self) -> Generation:
        now = self._clock()
        ready = [each for each in self.trusted if each.signs_at <= now]
        return ready[-1] if ready else self.trusted[0]
