"""What `colo` does, apart from the command line's own words."""

from colotrace_proto.text import safe

from colotrace_coordinator.errors import CoordinatorError
from colotrace_coordinator.store.colos import ColoStore
from colotrace_coordinator.store.location import Location

from .credentials import instant, on_database, print_table


class UnknownColoError(CoordinatorError):
    """No such colo is known."""


def list_colos(where: Location) -> None:
    """Print a table of all colos that are known."""
    colos = on_database(where, lambda database: ColoStore(database).all())
    print_table(
        ("COLO", "LAST SEEN", "FORGOTTEN", "CITY"),
        [
            (colo.name, instant(colo.last_seen_at), instant(colo.forget_at), safe(colo.city))
            for colo in colos
        ],
    )


def forget_colo(where: Location, name: str) -> None:
    """The coordinator forgets the colo within a minute, unless an agent of it is attached.

    Raises:
        UnknownColoError: it is not known.
    """
    if not on_database(where, lambda database: ColoStore(database).forget(name)):
        raise UnknownColoError(f"no colo {name} is known; `colo list` names those that are")
