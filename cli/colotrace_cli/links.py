"""The link to a measurement."""

from .settings import Settings

_PREFIX = "/client/v4"
"""A base URL of the API may end in it; the page is at the coordinator itself."""


def link(settings: Settings, measurement: str) -> str:
    """The address of a measurement on the coordinator's page.

    `show`, `follow` and the other commands take it in place of the id.
    """
    return f"{settings.url.removesuffix(_PREFIX)}/#/{settings.account}/m/{measurement}"
