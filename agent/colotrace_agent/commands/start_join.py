"""Start of `colotrace-agent join`: enrols this host's agent, then runs it, or starts its unit."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from colotrace_proto.output import say

from colotrace_agent.host import accounts, service

from . import start_run
from .start_run import Id, Location, MaxJobs, Tags
from .startup import AllowPrivate, Rate, User, usage

if TYPE_CHECKING:
    from colotrace_agent.enrolment.state import Options, StateDirectory


def start(
    token: Annotated[
        str,
        typer.Argument(
            envvar="COLOTRACE_JOIN_TOKEN",
            metavar="TOKEN|@FILE",
            help="The join token: what colotrace-coordinator agent enroll prints behind `join`; "
            "or a file with it. "
            "Other users of this host can see arguments (in ps) until the agent has joined: a "
            "token with several uses is better given by the variable.",
        ),
    ],
    state_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_STATE_DIR",
            help="Directory for the agent's key, certificate and settings. Default: "
            "/var/lib/colotrace-agent for root, ~/.local/state/colotrace-agent for others.",
            file_okay=False,
        ),
    ] = None,
    agent_id: Id = "",
    only: Annotated[
        bool,
        typer.Option(
            "--only", envvar="COLOTRACE_ONLY", help="Enrol only; a service runs the agent."
        ),
    ] = False,
    max_jobs: MaxJobs = None,
    tag: Tags = None,
    location: Location = "",
    rate: Rate = None,
    allow_private: AllowPrivate = False,
    user: User = "",
) -> None:
    """Enrol this host's agent at a coordinator, and run it.

    If colotrace-agent.service is installed, root's command enables and starts it instead. Later
    starts: colotrace-agent run --state-dir DIR. The flags are kept with the certificate.
    """
    from colotrace_agent.enrolment.state import Options, StateDirectory, default_directory

    state = StateDirectory(state_dir or default_directory())
    as_unit = not only and state.path == default_directory() and service.is_installed()
    if as_unit:
        _check_unit(user)
    options = Options(
        tags=tag or [],
        location=location,
        rate=rate,
        allow_private=allow_private,
        max_jobs=max_jobs,
    )
    enrol(state, token, agent_id=agent_id, options=options, user=user)
    if only:
        sys.exit()
    if as_unit:
        _start_unit()
    _become_run(state.path, user)


def _check_unit(user: str) -> None:
    if user:
        usage(f"--user: {service.UNIT} says as which user the agent runs; leave it out")
    if other := service.other_identity():
        usage(
            f"{service.SETTINGS} has {other}, with which {service.UNIT} runs an agent that has not "
            "joined; remove it there"
        )


def _start_unit() -> NoReturn:
    try:
        service.start()
    except service.ServiceError as error:
        say(
            f"colotrace-agent: joined, but the agent does not run: {error}; see journalctl -u "
            f"{service.UNIT}, then systemctl restart {service.UNIT}"
        )
        sys.exit(1)
    say(f"colotrace-agent: {service.UNIT} is enabled, and active")
    sys.exit()


def enrol(
    state: "StateDirectory", token: str, *, agent_id: str, options: "Options", user: str
) -> None:
    """Enrol this host's agent with the token, or that in the file if it is @FILE, and keep in the
    directory what it needs to run as `user`. Exits with a usage error if an option cannot be used.

    Raises:
        StartError: the directory cannot be used, or the coordinator refuses.
    """
    from colotrace_proto.identifiers import IDENTIFIER_SYNTAX, is_identifier
    from colotrace_proto.join_tokens import JoinTokenError, parse_join_token

    try:
        parsed = parse_join_token(_read(token))
    except JoinTokenError as error:
        usage(str(error))
    agent_id = agent_id or f"{start_run.hostname()}.{parsed.colo}"
    if not is_identifier(agent_id):
        usage(f"--agent-id {agent_id}: {IDENTIFIER_SYNTAX}")
    start_run.checked_tags(options.tags)
    start_run.checked_location(options.location)
    _refuse_second(state)
    if os.geteuid() == 0:
        account = accounts.named(user) if user else accounts.own()
        state.prepare(account)
        state.check_access_of(account)
    else:
        state.prepare(None)

    from colotrace_agent.enrolment.client import Enroller, new_key
    from colotrace_agent.enrolment.state import settings_of

    enroller = Enroller(parsed.address)
    authority = enroller.authority(parsed.authority)
    state.keep_authority(authority)
    if enroller.clock_off_s:
        say(
            f"colotrace-agent: this host's clock is {abs(enroller.clock_off_s):.0f} s "
            f"{'ahead of' if enroller.clock_off_s > 0 else 'behind'} the coordinator's; set it, "
            "for example by chrony: certificates and times of measurements depend on it"
        )
    key = state.pending_key()
    if key is None:
        key = new_key()
        state.keep_pending_key(key)
    certified = enroller.join(parsed, agent_id=agent_id, key=key, authority=authority)
    settings = settings_of(certified, join=parsed.address, now=time.time(), options=options)
    state.keep(certified, key, settings=settings)
    say(
        f"colotrace-agent: joined {certified.coordinator} as {certified.agent_id} of "
        f"{certified.colo} ({certified.city}); state in {state.path}"
    )


def _read(token: str) -> str:
    """The token. @FILE: the last word of that file, which may hold the line of `agent enroll`."""
    if not token.startswith("@"):
        return token
    try:
        words = Path(token[1:]).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        usage(f"{token[1:]} cannot be read: {error}")
    return words[-1] if words else ""


def _become_run(directory: Path, user: str) -> NoReturn:
    """Replace this program by `colotrace-agent run`. The arguments of this one have the join token,
    which other users of this host could see (in ps) as long as the agent runs."""
    # The flags of `join` are kept in the directory. -P: not the modules of the present directory.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("COLOTRACE_")
    }
    command = ["run", f"--state-dir={directory}"]
    if user:
        command.append(f"--user={user}")
    # The launcher knows where the packages are, which the interpreter alone may not.
    program = sys.argv[0]
    if Path(program).name != "colotrace-agent" or not os.access(program, os.X_OK):
        program = sys.executable
        command = ["-P", "-m", "colotrace_agent", *command]
    sys.stderr.flush()
    os.execve(program, [program, *command], environment)  # noqa: S606


def _refuse_second(state: "StateDirectory") -> None:
    if state.is_enrolled:
        kept = state.settings()
        run = f"colotrace-agent run --state-dir {state.path}"
        if service.is_installed():
            run = f"systemctl enable --now {service.UNIT}"
        usage(
            f"this host has joined {kept.coordinator} as {kept.agent_id} of {kept.colo}; run it "
            f"by {run}, or remove {state.path} to join anew"
        )
