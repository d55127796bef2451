"""The command lines of `ca` and `broker`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import EXIT_CODES, CaSecretFile, Data, DatabaseUrl, ca_secret, group

authorities = group("The coordinator's own certificate authority.")
brokers = group("The MQTT broker of several coordinators.")


@authorities.command("show", epilog=EXIT_CODES)
def show_authority(data: Data = None, database: DatabaseUrl = None) -> None:
    """Print the CA's certificate (PEM), for clients: COLOTRACE_CA_FILE, curl --cacert.

    There are two while one replaces the other; clients can have both in one file."""
    from colotrace_coordinator.store.location import locate

    from . import authorities as commands

    commands.show(locate(data=data, database=database))


@authorities.command("rotate", epilog=EXIT_CODES)
def rotate_authority(
    data: Data = None, database: DatabaseUrl = None, ca_secret_file: CaSecretFile = None
) -> None:
    """Replace the CA by a new one. Both are trusted until the certificates of the former have
    ended."""
    from colotrace_coordinator.settings import choose_secret_file
    from colotrace_coordinator.store.location import locate

    from . import authorities as commands

    location = locate(data=data, database=database)
    commands.rotate(
        location,
        secret=ca_secret(),
        secret_file=choose_secret_file(ca_secret_file, data=data, location=location),
    )


@authorities.command("retire", epilog=EXIT_CODES)
def retire_authority(data: Data = None, database: DatabaseUrl = None) -> None:
    """Trust the former CA no more, at once. Agents that have not renewed since must join anew."""
    from colotrace_coordinator.store.location import locate

    from . import authorities as commands

    commands.retire(locate(data=data, database=database))


@authorities.command("reseal", epilog=EXIT_CODES)
def reseal_authority(
    data: Data = None,
    database: DatabaseUrl = None,
    ca_secret_file: CaSecretFile = None,
    new_secret_file: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_NEW_SECRET_FILE",
            help="File with the new secret, created if missing. Default: a new secret replaces "
            "the one in the file.",
        ),
    ] = None,
) -> None:
    """Encrypt the CA's key under another secret. Running coordinators go on; the next start needs
    the new one."""
    from colotrace_coordinator.settings import choose_secret_file
    from colotrace_coordinator.store.location import locate

    from . import authorities as commands

    location = locate(data=data, database=database)
    commands.reseal(
        location,
        secret=ca_secret(),
        secret_file=choose_secret_file(ca_secret_file, data=data, location=location),
        new_file=new_secret_file,
    )


@brokers.command("files", epilog=EXIT_CODES)
def write_broker_files(
    out: Annotated[
        Path,
        typer.Option(envvar="COLOTRACE_OUT", metavar="DIR", help="Directory of the files."),
    ],
    name: Annotated[
        list[str] | None,
        typer.Option(
            envvar="COLOTRACE_NAME",
            metavar="HOST",
            help="A host name or IP address of the broker; may be repeated. Default: this host's.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    database: DatabaseUrl = None,
    ca_secret_file: CaSecretFile = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            envvar="COLOTRACE_FOLLOW",
            help="Stay, and write them again within a second after agents were enrolled, renamed "
            "or revoked.",
        ),
    ] = False,
    pid_file: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_PID_FILE",
            help="With --follow: send SIGHUP to the process in this file, so that it reads the "
            "files again.",
        ),
    ] = None,
) -> None:
    """Write what Mosquitto needs: ca.pem, broker.pem, broker.key, and acl, the agents' rights."""
    from colotrace_coordinator.logs import LogFormat, LogLevel, configure
    from colotrace_coordinator.own_names import named_or_own
    from colotrace_coordinator.settings import choose_secret_file
    from colotrace_coordinator.store.location import locate

    from . import broker as commands

    configure(LogFormat.AUTO, LogLevel.INFO)
    location = locate(data=data, database=database)
    commands.write_files(
        location,
        secret=ca_secret(),
        secret_file=choose_secret_file(ca_secret_file, data=data, location=location),
        out=out,
        names=named_or_own(name or ()),
        follow=follow,
        pid_file=pid_file,
    )
