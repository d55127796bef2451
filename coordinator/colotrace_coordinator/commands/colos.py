"""The commands of `colo`."""

import json

from colotrace_proto.text import safe

from colotrace_coordinator.enrolment.administration import Administration
from colotrace_coordinator.store.location import Location

from .opened import on_database
from .printed import instant, print_table, write


def list_colos(where: Location, *, as_json: bool) -> None:
    """Print a table of all known colos, or a JSON array."""
    colos = on_database(where, lambda database: Administration(database).colos())
    if as_json:
        lines = [
            {
                "name": colo.name,
                "city": colo.city,
                "last_seen_at": colo.last_seen_at,
                "forgotten_at": colo.forget_at,
                "tags": {tag.key: tag.value for tag in sorted(colo.tags)},
            }
            for colo in colos
        ]
        write(json.dumps(lines, indent=2))
        return
    print_table(
        colos,
        {
            "COLO": lambda colo: colo.name,
            "LAST SEEN": lambda colo: instant(colo.last_seen_at),
            "FORGOTTEN": lambda colo: instant(colo.forget_at),
            "CITY": lambda colo: safe(colo.city),
        },
    )


def rename_colo(where: Location, old: str, new: str, *, city: str) -> None:
    """Give the enrolled agents of a colo to another name; prints how many they are.

    Raises:
        NameTakenError: an agent of the other colo has the id of one of this one.
        SetupError: the new name is malformed.
        UnknownIdError: the colo has no enrolled agent.
    """
    agents = on_database(
        where, lambda database: Administration(database).rename_colo(old, new, city=city)
    )
    write(f"{agents} agent{'' if agents == 1 else 's'}")


def forget_colo(where: Location, name: str) -> None:
    """Delete the colo. A coordinator forgets it within a minute if no agent of it is attached.

    Raises:
        UnknownIdError: the colo is not known.
    """
    on_database(where, lambda database: Administration(database).forget_colo(name))
