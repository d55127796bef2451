"""The commands of `agent` and `ca`."""

import json
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial

from colotrace_proto.identifiers import is_address, is_colo_name, with_ascii_host
from colotrace_proto.join_tokens import JoinToken
from colotrace_proto.messages import ColoName
from colotrace_proto.text import safe
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.store.authorities import Authorities
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.enrolments import Enrolments
from colotrace_coordinator.store.location import Location
from colotrace_coordinator.store.tables import EnrolledAgent, StoredAuthority

from .credentials import instant, on_database, print_table, write

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TIME = re.compile(r"([0-9]{1,6})([smhd])")
_LONGEST_S = 366 * 86_400


def enroll(where: Location, *, colo: str, city: str, uses: int, expires: str, address: str) -> None:
    """Create a join token, and print the line to paste on probe hosts, with nothing else.

    Raises:
        SetupError: an option is malformed, or no coordinator has served yet.
    """
    colo, lifetime_s = colo.lower(), _seconds(expires)
    if not is_colo_name(colo):
        raise SetupError(f"--colo {colo}: a colo is 3 to 8 letters and a number, like den01")
    if not city.strip():
        raise SetupError('--city: give the city of the colo, like "Denver, CO, US"')

    async def create(database: Database) -> JoinToken:
        authority = await _authority(database)
        at = with_ascii_host(address) or authority.address
        if not is_address(at):
            raise SetupError(
                f"--address {at}: give HOST:PORT at which agents reach --join of a coordinator"
            )
        secret = await Enrolments(database).create(
            ColoName(colo), city=safe(city)[:128], uses=uses, lifetime_s=lifetime_s
        )
        certificate = x509.load_pem_x509_certificate(authority.certificate)
        return JoinToken(
            address=at,
            colo=ColoName(colo),
            authority=certificate.fingerprint(SHA256()),
            secret=secret,
        )

    write(f"colotrace-agent join {on_database(where, create).encode()}")


def list_agents(where: Location, *, as_json: bool) -> None:
    """Print a table of the enrolled agents, or a JSON array."""
    agents = on_database(where, lambda database: EnrolledAgents(database).all())
    now = time.time()
    if as_json:
        write(json.dumps([_as_json(agent, now) for agent in agents], indent=2))
        return
    print_table(
        agents,
        {
            "ID": lambda agent: agent.id,
            "COLO": lambda agent: agent.colo,
            "AGENT": lambda agent: agent.agent_id,
            "STATE": lambda agent: _state(agent, now),
            "ENROLLED": lambda agent: instant(agent.enrolled_at),
            "CERTIFICATE ENDS": lambda agent: instant(agent.certificate_ends_at),
            "CITY": lambda agent: safe(agent.city),
        },
    )


def show(where: Location, name: str, *, as_json: bool) -> None:
    """Print what is kept of an agent: a line for each field, or a JSON object.

    Raises:
        UnknownIdError: there is no such agent.
    """
    agent = on_database(where, lambda database: EnrolledAgents(database).named(name))
    fields = _as_json(agent, time.time())
    if as_json:
        write(json.dumps(fields, indent=2))
        return
    for field, value in fields.items():
        shown = instant(value) if isinstance(value, int) or value is None else safe(str(value))
        write(f"{field.replace('_', ' ')}: {shown}")


def drain(where: Location, name: str, *, drained: bool) -> None:
    """Give an agent no new jobs, or some again.

    Raises:
        UnknownIdError: there is no such agent.
    """
    _on_agent(where, name, partial(EnrolledAgents.drain, drained=drained))


def revoke(where: Location, name: str) -> None:
    """Revoke an agent.

    Raises:
        UnknownIdError: there is no such agent.
    """
    _on_agent(where, name, EnrolledAgents.revoke)


def forget(where: Location, name: str) -> None:
    """Revoke an agent, and list it no more.

    Raises:
        UnknownIdError: there is no such agent.
    """
    _on_agent(where, name, EnrolledAgents.forget)


def list_tokens(where: Location) -> None:
    """Print a table of the join tokens, without their secrets."""
    print_table(
        on_database(where, lambda database: Enrolments(database).all()),
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
    on_database(where, lambda database: Enrolments(database).revoke(token_id))


def show_authority(where: Location) -> None:
    """Print the CA's certificate.

    Raises:
        SetupError: there is no CA yet.
    """
    write(on_database(where, _authority).certificate.decode().rstrip())


def _on_agent(
    where: Location, name: str, act: Callable[[EnrolledAgents, str], Awaitable[None]]
) -> None:
    async def run(database: Database) -> None:
        agents = EnrolledAgents(database)
        await act(agents, (await agents.named(name)).id)

    on_database(where, run)


async def _authority(database: Database) -> StoredAuthority:
    authority = await Authorities(database).described()
    if authority is None or not authority.address:
        raise SetupError(
            "this database has no certificate authority yet; start the coordinator once, by "
            "colotrace-coordinator serve without --insecure and --agent-ca"
        )
    return authority


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text.strip().lower())
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_S:
        raise SetupError(f"--expires {text}: give a time of up to 366 days, like 30m, 1h or 7d")
    return seconds


def _state(agent: EnrolledAgent, now: float) -> str:
    if agent.revoked_at is not None:
        return "revoked"
    if agent.certificate_ends_at < now:
        return "expired"
    return "drained" if agent.drained else "enrolled"


def _as_json(agent: EnrolledAgent, now: float) -> dict[str, object]:
    return {
        "id": agent.id,
        "colo": agent.colo,
        "agent_id": agent.agent_id,
        "city": agent.city,
        "state": _state(agent, now),
        "enrolled_at": agent.enrolled_at,
        "certificate_ends_at": agent.certificate_ends_at,
        "revoked_at": agent.revoked_at,
    }
