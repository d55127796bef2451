"""`colotrace guard`: what a command changes on the paths."""

import typer
from typer.core import TyperCommand

from . import request
from .connected import Connection, connected
from .trace import (
    From,
    IPv4,
    IPv6,
    MaxTtl,
    Multipath,
    PacketsPerTtl,
    Port,
    Targets,
    Type,
    WaitTime,
)

_WORDS = "colotrace_cli.guard"


class WithCommand(TyperCommand):
    """Takes what follows `--` as another program's command line."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse what precedes `--`."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_WORDS] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """The pieces of the usage line."""
        return [*super().collect_usage_pieces(ctx), "-- COMMAND…"]


@connected
def guard(
    context: typer.Context,
    *,
    targets: Targets,
    colos: From = None,
    packet_type: Type = None,
    max_ttl: MaxTtl = None,
    packets_per_ttl: PacketsPerTtl = None,
    wait_time: WaitTime = None,
    port: Port = None,
    multipath: Multipath = False,
    ipv4: IPv4 = False,
    ipv6: IPv6 = False,
    connection: Connection,
) -> None:
    """Trace, run COMMAND, trace again until the paths are stable (at most 60 s), and compare.

    Prints Markdown for the change ticket. COMMAND's output goes to standard error. The exit code is
    COMMAND's if it fails, and otherwise 4 if anything differs.
    """
    words = context.meta.get(_WORDS)
    if not words:
        raise typer.BadParameter("name the command behind --", param_hint="-- COMMAND")
    asked = request.request(
        context,
        targets=targets,
        colos=colos,
        options={
            "packet_type": packet_type.value if packet_type else None,
            "max_ttl": max_ttl,
            "packets_per_ttl": packets_per_ttl,
            "wait_time": wait_time,
            "port": port,
            "multipath": multipath or None,
        },
        ipv4=ipv4,
        ipv6=ipv6,
    )
    settings = connection.settings()
    from colotrace_cli import guarding

    code = guarding.guarded(settings, asked, words)
    if code:
        raise typer.Exit(code)
