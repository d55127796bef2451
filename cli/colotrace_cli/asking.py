"""What is to be traced, as bodies of requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from . import recent
from .errors import SettingsError
from .settings import Settings

MOST_TARGETS = 10
"""Targets of one measurement; the API's bound."""


@dataclass(frozen=True, slots=True)
class Request:
    """Targets, colos and options as given. `colos` is None for all."""

    targets: Sequence[str]
    colos: Sequence[str] | None
    options: Mapping[str, object]

    def bodies(self) -> list[bytes]:
        """One body for each ten targets."""
        given = {name: value for name, value in self.options.items() if value is not None}
        return [
            msgspec.json.encode(
                {
                    "targets": self.targets[begin : begin + MOST_TARGETS],
                    **({} if self.colos is None else {"colos": self.colos}),
                    "options": given,
                }
            )
            for begin in range(0, len(self.targets), MOST_TARGETS)
        ]

    def in_words(self) -> str:
        """The targets and colos."""
        return f"{', '.join(self.targets)} from {', '.join(self.colos or ['all colos'])}"


def with_last(request: Request, settings: Settings) -> Request:
    """The request with the colos that `@-1` and so on stand for.

    Raises:
        SettingsError: nothing is remembered by this number.
    """
    if request.colos is None or not any(map(recent.is_last, request.colos)):
        return request
    named: list[str] = []
    for word in request.colos:
        if not recent.is_last(word):
            named.append(word)
            continue
        colos = recent.recalled(settings, word).colos
        if not colos:
            raise SettingsError(f"{word}: the colos of that measurement are not known")
        named += colos
    return Request(request.targets, list(dict.fromkeys(named)), request.options)
