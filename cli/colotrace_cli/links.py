"""The link to a measurement."""

from .settings import Settings


def link(settings: Settings, measurement: str) -> str:
    """The address of a measurement at the coordinator: of the API, since there is no page yet.

    `show`, `follow` and the other commands take it in place of the id.
    """
    return f"{settings.url}{settings.path}/{measurement}"
