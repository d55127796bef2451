"""What the prober counts over its life."""

from dataclasses import dataclass, field

from .model import Unheard


@dataclass(slots=True)
class ProberStats:
    """Packets since the start."""

    sent: int = 0
    send_errors: int = 0
    unheard: dict[Unheard, int] = field(default_factory=lambda: dict.fromkeys(Unheard, 0))
