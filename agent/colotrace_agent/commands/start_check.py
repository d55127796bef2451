"""Start of `colotrace-agent check`: reads the firewall's rules, then reduces its privileges."""

from colotrace_agent.errors import PrivilegeError
from colotrace_agent.host import privileges


def start(*, json: bool) -> int:
    """Print the findings; returns the exit code."""
    from colotrace_agent.host.diagnosis import ruleset

    # The rules are read before privileges are dropped; the other checks run without them.
    rules = ruleset.read()
    lacking, account = "", None
    try:
        account = privileges.reduce()
    except PrivilegeError as error:
        lacking = str(error)

    from .check import check

    privileges.finish(account)
    return check(lacking=lacking, ruleset=rules, json=json)
