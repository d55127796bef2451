"""`colotrace colos`: the places that can be traced from."""

from .connected import Connection, connected
from .flags import Json


@connected
def colos(*, as_json: Json = False, connection: Connection) -> None:
    """List the colos, with their state, address families and packet types."""
    settings = connection.settings()
    from colotrace_cli import printing, runs
    from colotrace_cli.api import answer, client
    from colotrace_cli.views import fleet

    reply = runs.waited("asking for the colos", client.exchange(settings, "GET", "/colos"))
    found = answer.colos_answer(reply)
    if as_json:
        printing.body(reply.body)
    else:
        printing.lines(fleet.colos(found, printing.output()))
