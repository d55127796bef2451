"""`colotrace agents`: the agents that are attached."""

from .connected import Connection, connected
from .flags import Json


@connected
def agents(*, as_json: Json = False, connection: Connection) -> None:
    """List the agents, with their colo, version, tags and last trouble."""
    settings = connection.settings()
    from colotrace_cli import printing, runs
    from colotrace_cli.api import answer, client
    from colotrace_cli.views import fleet

    reply = runs.waited("asking for the agents", client.exchange(settings, "GET", "/agents"))
    found = answer.agents_answer(reply)
    if as_json:
        printing.body(reply.body)
    else:
        printing.lines(fleet.agents(found, printing.output()))
