"""`colotrace cancel`: takes back a running measurement."""

from .connected import Connection, connected
from .flags import Json
from .show import Id


@connected
def cancel(*, measurement: Id, as_json: Json = False, connection: Connection) -> None:
    """Cancel a running measurement; what there is stays. A finished one is left alone."""
    settings = connection.settings()
    from colotrace_cli import printing, recent, runs
    from colotrace_cli.api import answer, client
    from colotrace_cli.views import measurements

    named = recent.measurement_id(settings, measurement)
    work = client.exchange(settings, "DELETE", f"/{named}?if=running")
    reply = runs.waited(f"cancelling {named}", work)
    found = answer.measurement_answer(reply)
    if as_json:
        printing.body(reply.body)
    else:
        printing.lines([measurements.heading(found, printing.output())])
