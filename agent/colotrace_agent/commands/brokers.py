"""The broker of `--mqtt`, or of an agent that has joined."""

from pathlib import Path
from typing import TYPE_CHECKING

from colotrace_proto.starting import install_line

from colotrace_agent.errors import StartError

if TYPE_CHECKING:
    import ssl

    from colotrace_proto.bus import Broker

    from colotrace_agent.enrolment.state import StateDirectory


def chosen_broker(
    url: str, files: "dict[str, Path | None]", *, authority: str = "", insecure: bool = False
) -> "tuple[Broker, ssl.SSLContext | None]":
    """The broker at the URL, and the TLS context for it. `files`: the fields of `BrokerTls`.
    `authority`: a CA of its certificate beside that of `files`, PEM; "" for none. `insecure`: it
    may be one without TLS.

    Raises:
        StartError: the package `aiomqtt` is missing, or the URL or a file cannot be used.
    """
    try:
        from colotrace_proto.mqtt import BrokerOptionsError, BrokerTls, broker_from_options
    except ModuleNotFoundError as error:
        raise StartError(
            f"--mqtt needs the Python package {error.name!r}; run: {install_line('mqtt')}"
        ) from error
    try:
        broker, tls = broker_from_options(url, BrokerTls(**files), insecure=insecure)
    except BrokerOptionsError as error:
        raise StartError(str(error)) from error
    if authority and tls is not None:
        tls.load_verify_locations(cadata=authority)
    return broker, tls


def broker_tls_context(
    broker: "Broker", files: dict[str, Path | None], state: "StateDirectory | None"
) -> "ssl.SSLContext":
    """A new context for the broker; it trusts the CA of its certificate that `state` names, too.

    Raises:
        StartError: the directory cannot be used.
        ValueError: a file cannot be used.
    """
    from colotrace_proto.mqtt import BrokerTls

    context = BrokerTls(**files).context(broker)
    if state is not None and (authority := state.settings().mqtt_ca):
        context.load_verify_locations(cadata=authority)
    return context
