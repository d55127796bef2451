"""The commands of `agent`."""

import json
from collections.abc import Awaitable, Callable
from functools import partial

from colotrace_proto.spans import seconds_in
from colotrace_proto.text import safe

from colotrace_coordinator.enrolment.administration import Administration, checked_colo
from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.store.enrolments import MAX_LIFETIME_S
from colotrace_coordinator.store.listed import ListedAgent
from colotrace_coordinator.store.location import Location

from .opened import on_database
from .printed import instant, print_table, write

_MIB = 1 << 20


def enroll(where: Location, *, colo: str, city: str, uses: int, expires: str, address: str) -> None:
    """Create a join token, and print the line to paste on probe hosts, with nothing else.

    Raises:
        SetupError: an option is malformed, or no coordinator has served yet.
    """
    lifetime_s, colo = _seconds(expires), checked_colo(colo)
    enrolling = on_database(
        where,
        lambda database: Administration(database).enroll(
            colo=colo, city=city, uses=uses, lifetime_s=lifetime_s, address=address
        ),
    )
    write(f"colotrace-agent join {enrolling.token}")


def list_agents(where: Location, *, as_json: bool) -> None:
    """Print a table of the agents, or a JSON array."""
    agents = on_database(where, lambda database: Administration(database).agents())
    if as_json:
        write(json.dumps([_as_json(agent) for agent in agents], indent=2))
        return
    print_table(
        agents,
        {
            "ID": lambda agent: agent.id or "-",
            "COLO": lambda agent: agent.colo,
            "AGENT": lambda agent: agent.agent_id,
            "HOST": lambda agent: safe(agent.host) or "-",
            "STATE": lambda agent: agent.state,
            "ATTACHED": _attached,
            "VERSION": lambda agent: safe(agent.version) or "-",
            "FAMILIES": lambda agent: families_in_words(agent) or "-",
            "CERTIFICATE ENDS": lambda agent: instant(agent.certificate_ends_at),
            "CPU": lambda agent: cpu_in_words(agent.cpu_millis),
            "MEMORY": lambda agent: memory_in_words(agent.memory_bytes),
            "LAST TROUBLE": _trouble,
        },
    )


def show(where: Location, name: str, *, as_json: bool) -> None:
    """Print what is known of an agent: a line for each field, or a JSON object.

    Raises:
        UnknownIdError: there is no such agent.
    """
    agent = on_database(where, lambda database: Administration(database).agent(name))
    fields = _as_json(agent)
    if as_json:
        write(json.dumps(fields, indent=2))
        return
    shown = {
        **{field: safe(str(value)) for field, value in fields.items() if isinstance(value, str)},
        **{field: instant(fields[field]) for field in _TIMES},  # type: ignore[arg-type]
        "families": families_in_words(agent),
        "cpu": cpu_in_words(agent.cpu_millis),
        "memory": memory_in_words(agent.memory_bytes),
    }
    for field in (*fields, "cpu", "memory"):
        if field not in ("cpu_millis", "memory_bytes"):
            write(f"{field.replace('_', ' ')}: {shown.get(field) or '-'}")


def drain(where: Location, name: str, *, drained: bool) -> None:
    """Give an agent no new jobs, or some again.

    Raises:
        UnknownIdError: there is no such agent.
    """
    _do(where, partial(Administration.drain, name=name, drained=drained))


def revoke(where: Location, name: str) -> None:
    """Revoke an agent.

    Raises:
        UnknownIdError: there is no such agent.
    """
    _do(where, partial(Administration.revoke, name=name))


def rename(where: Location, name: str, new: str, *, city: str) -> None:
    """Give an agent another id, and perhaps another colo and city; prints what it is called now.

    Raises:
        NameTakenError: another agent has the name.
        SetupError: the new name is malformed.
        UnknownIdError: there is no such agent.
    """
    agent = on_database(
        where, lambda database: Administration(database).rename(name, new, city=city)
    )
    write(agent.name)


def forget(where: Location, name: str) -> None:
    """Revoke an agent, and list it no more.

    Raises:
        UnknownIdError: there is no such agent.
    """
    _do(where, partial(Administration.forget, name=name))


def list_tokens(where: Location) -> None:
    """Print a table of the join tokens, without their secrets."""
    print_table(
        on_database(where, lambda database: Administration(database).tokens()),
        {
            "ID": lambda token: token.id,
            "COLO": lambda token: token.colo,
            "USED": lambda token: f"{token.used} of {token.uses}",
            "CREATED": lambda token: instant(token.created_at),
            "EXPIRES": lambda token: instant(token.expires_at),
            "REVOKED": lambda token: instant(token.revoked_at),
            "CITY": lambda token: safe(token.city),
        },
    )


def revoke_token(where: Location, token_id: str) -> None:
    """Revoke a join token.

    Raises:
        UnknownIdError: there is no such token.
    """
    _do(where, partial(Administration.revoke_token, token_id=token_id))


def families_in_words(agent: ListedAgent) -> str:
    """IPv4, IPv6."""
    return ", ".join(f"IPv{family:d}" for family in agent.families)


def cpu_in_words(millis: int | None) -> str:
    """The share of a core, in percent; "-" if it is not known."""
    return "-" if millis is None else f"{millis / 10:.1f} %"


def memory_in_words(size: int | None) -> str:
    """MiB; "-" if it is not known."""
    return "-" if size is None else f"{size / _MIB:.0f} MiB"


def _do(where: Location, act: Callable[[Administration], Awaitable[object]]) -> None:
    on_database(where, lambda database: act(Administration(database)))


def _seconds(text: str) -> float:
    try:
        seconds = seconds_in(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= MAX_LIFETIME_S:
        raise SetupError(f"--expires {text}: give a time of up to 366 days, like 30m, 1h or 7d")
    return seconds


def _attached(agent: ListedAgent) -> str:
    if agent.attached_since is not None:
        return f"since {instant(agent.attached_since)}"
    return "never" if agent.last_seen_at is None else f"no, seen {instant(agent.last_seen_at)}"


def _trouble(agent: ListedAgent) -> str:
    if agent.last_trouble is None:
        return "-"
    return f"{instant(agent.last_trouble_at)}: {safe(agent.last_trouble)}"


_TIMES = (
    "attached_since",
    "last_seen_at",
    "enrolled_at",
    "certificate_ends_at",
    "revoked_at",
    "last_trouble_at",
)


def _as_json(agent: ListedAgent) -> dict[str, object]:
    return {
        "id": agent.id or None,
        "colo": agent.colo,
        "agent_id": agent.agent_id,
        "city": agent.city,
        "host": agent.host,
        "state": agent.state,
        "version": agent.version,
        "families": [family.name.lower() for family in agent.families],
        "attached_since": agent.attached_since,
        "last_seen_at": agent.last_seen_at,
        "enrolled_at": agent.enrolled_at,
        "certificate_ends_at": agent.certificate_ends_at,
        "revoked_at": agent.revoked_at,
        "last_trouble": agent.last_trouble,
        "last_trouble_at": agent.last_trouble_at,
        "cpu_millis": agent.cpu_millis,
        "memory_bytes": agent.memory_bytes,
    }
