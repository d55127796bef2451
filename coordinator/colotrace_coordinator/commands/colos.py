"""The commands of `colo`."""

from colotrace_proto.text import safe

from colotrace_coordinator.errors import CoordinatorError
from colotrace_coordinator.store.colos import ColoStore
from colotrace_coordinator.store.location import Location

from .credentials import instant, on_database, print_table


class UnknownColoError(CoordinatorError):
    """No such colo is known."""


def list_colos(where: Location) -> None:
    """Print a table of all known colos."""
    print_table(
        on_database(where, lambda database: ColoStore(database).all()),
        {
            "COLO": lambda colo: colo.name,
            "LAST SEEN": lambda colo: instant(colo.last_seen_at),
            "FORGOTTEN": lambda colo: instant(colo.forget_at),
            "CITY": lambda colo: safe(colo.city),
        },
    )


def forget_colo(where: Location, name: str) -> None:
    """Delete the colo. A coordinator forgets it within a minute if no agent of it is attached.

    Raises:
        UnknownColoError: the colo is not known.
    """
    if not on_database(where, lambda database: ColoStore(database).forget([name])):
        raise UnknownColoError(f"no colo {name} is known; see: colo list")
