"""Imports modules early that commands otherwise import on demand.

An agent started by root runs as another user later, who may not be able to read the installation,
for example a virtual environment below /root. tests/integration/agent/test_user.py finds what is
missing.
"""

import importlib
from typing import TYPE_CHECKING

from colotrace_proto import layout, rows, table, text
from colotrace_proto.hostnames import to_ascii

if TYPE_CHECKING:
    from colotrace_formats.formats import Format

_RESOLVING = ("concurrent.futures.thread", "encodings.idna")


def for_names() -> None:
    """Modules for name look-ups."""
    for module in _RESOLVING:
        importlib.import_module(module)
    to_ascii("straße.example")  # the tables of IDNA come with the first name that needs them


def for_links(*, broker: bool, tls: bool) -> None:
    """Modules for an MQTT broker, and for the coordinator's certificate."""
    if broker:
        importlib.import_module("colotrace_agent.link.mqtt")
    if tls:
        importlib.import_module("colotrace_agent.link.pins")


def for_renewals() -> None:
    """Modules for renewals of the certificate; cryptography imports some when it first signs."""
    importlib.import_module("colotrace_agent.enrolment.renewal")
    client = importlib.import_module("colotrace_agent.enrolment.client")
    client.signing_request(client.new_key())


def for_attachment(*, broker: bool) -> None:
    """Modules for checks of the way to the coordinator."""
    for module in ("connection", "nearby", "renewing", "state", *(("broker",) if broker else ())):
        importlib.import_module(f"colotrace_agent.attachment.{module}")


def for_many() -> None:
    """Modules for a file of targets."""
    for module in ("bulk", "progress"):
        importlib.import_module(f"{__package__}.{module}")
    text.width("…")  # of the status line, where it is cut


def for_tables() -> None:
    """Modules for tables: rich imports some parts when it first measures text."""
    node = rows.Node(asn="AS1", ip="2001:db8::1", name="näme", packet_count=1, min_rtt_ms=1.0)
    hops = [rows.Hop(packets_ttl=1, packets_sent=1, packets_lost=0, nodes=[node, rows.SILENCE])]
    summary = rows.TargetSummary(asn="", ip="2001:db8::1", name="", packet_count=1, min_rtt_ms=1.0)
    link = rows.Link(ttl=1, near="2001:db8::1", far="2001:db8::2", flows=1)
    row = rows.ColoRow(
        colo=rows.Colo(city="City", name="tst01"),
        error="error",
        hops=hops,
        target_summary=summary,
        traceroute_time_ms=1,
        links=[link],
    )
    for width in (40, 80, 200):
        table.trace_table("target…", row, on=layout.TextOutput(width), notes=["nöte"])


def for_format(form: "Format") -> None:
    """Modules for rows in that format."""
    form.load()
    importlib.import_module(f"{__package__}.recorded")
