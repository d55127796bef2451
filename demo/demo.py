"""`make demo`: runs everything on this machine, with real packets.

It builds a network of kernel routers in namespaces, starts a coordinator and an agent in each colo,
sends the API's example request with curl, and shows what `colotrace` prints. With MQTT=1 there are
two coordinators with an MQTT broker (Mosquitto), and each gets requests.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from fleet import ACCOUNT, Broker, Fleet  # noqa: E402 - found through the path above
from lab import Lab, LabError, LabUnavailableError, access  # noqa: E402

_COLOTRACE = Path(sys.executable).parent / "colotrace"
_ANSWER = ROOT / ".demo" / "answer.json"
_TARGETS = ["web.lab.example", "198.18.20.100"]
_COMMANDS = (
    ("trace", _TARGETS[0], "--from", "den01"),
    ("trace", *_TARGETS, "--from", "den,sin"),
    ("trace", _TARGETS[0], "--tree"),
    ("list",),
    ("diff", "@-3", "@-1"),
)
_DIFFERS = 4
"""The exit code of `colotrace diff` if anything differs."""


def main() -> int:
    """Run the demo; returns the exit status."""
    access.enter_if_needed()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep, mqtt = (os.environ.get(name, "") not in ("", "0") for name in ("KEEP", "MQTT"))
    try:
        access.require()
        with _step("bringing up a network of kernel routers"):
            lab = Lab()
            lab.up()
        try:
            with ExitStack() as stack:
                fleets = two_fleets(lab, stack) if mqtt else one_fleet(lab, stack)
                show(fleets)
                if keep:
                    _next_steps(fleets)
                    print("\nPress Ctrl-C to stop everything.", flush=True)
                    while True:
                        signal.pause()
        finally:
            lab.down()
        print(
            "\nThe demo has ended and stopped everything. `make demo KEEP=1` keeps it running and"
        )
        print("shows how to use it with the official SDK.")
    except (LabError, LabUnavailableError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    return 0


def one_fleet(lab: Lab, stack: ExitStack) -> list[Fleet]:
    """Start a coordinator and an agent in each colo."""
    with _step("starting a coordinator and an agent in each colo"):
        fleet = stack.enter_context(Fleet(lab, installed=True))
    with _step("waiting until the agents are attached"):
        fleet.wait_attached()
    return [fleet]


def two_fleets(lab: Lab, stack: ExitStack) -> list[Fleet]:
    """Start two coordinators that share the agents through an MQTT broker."""
    with _step("starting an MQTT broker, a coordinator and an agent in each colo"):
        broker = stack.enter_context(Broker(lab))
        first = stack.enter_context(Fleet(lab, broker=broker, installed=True))
    with _step("starting a second coordinator with the same broker and database"):
        second = stack.enter_context(Fleet(lab, broker=broker, beside=first, installed=True))
    with _step("waiting until both coordinators see all agents"):
        first.wait_attached()
        second.wait_attached()
    print(f"\nThe broker is {broker.url}. curl sends a request to the first coordinator,")
    print(f"{first.url}, and colotrace to the second, {second.url}.")
    return [first, second]


def show(fleets: list[Fleet]) -> None:
    """Send a request to the first coordinator with curl, and to the last with `colotrace`."""
    first, last = fleets[0], fleets[-1]
    ask(first)
    where = "" if first is last else f"COLOTRACE_URL={last.url} "
    for words in _COMMANDS:
        _command(last, *words, where=where)
    if first is not last:
        _command(last, "colos", where=where)


def ask(fleet: Fleet) -> None:
    """Send the API's example request with curl, and print a part of the answer."""
    targets = ", ".join(f'"{target}"' for target in _TARGETS)
    body = f"""{{
  "targets": [{targets}],
  "colos": ["den", "sin"],
  "options": {{"max_ttl": 15, "packet_type": "icmp"}}
}}"""
    command = ["curl", "-sS", "--fail-with-body", fleet.path(),
               "-H", "Content-Type: application/json", "-d", body]  # fmt: skip
    print(f"\n$ {shlex.join(command)} -H 'Authorization: Bearer '$TOKEN\n")
    # In a private file, since other users could see the token on the command line.
    with tempfile.NamedTemporaryFile("w", dir=fleet.directory) as header:
        header.write(f"Authorization: Bearer {fleet.token}\n")
        header.flush()
        done = subprocess.run(
            [*command, "-H", f"@{header.name}"], capture_output=True, text=True, check=True
        )
    _ANSWER.parent.mkdir(exist_ok=True)
    _ANSWER.write_text(done.stdout)
    print(_shortened(json.loads(done.stdout)))
    print(f"\n(The whole answer is in {_ANSWER.relative_to(ROOT)}.)")


def _command(fleet: Fleet, *words: str, where: str) -> None:
    print(f"\n$ {where}colotrace", *words, end="\n\n", flush=True)
    settings = {
        "COLOTRACE_URL": fleet.base_url,
        "COLOTRACE_TOKEN": fleet.token,
        "COLOTRACE_ACCOUNT": ACCOUNT,
        # What it remembers goes with the fleet, and the user's own profiles are left alone.
        "XDG_STATE_HOME": str(fleet.directory / "state"),
        "XDG_CONFIG_HOME": str(fleet.directory / "config"),
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith("COLOTRACE_")}
    done = subprocess.run([_COLOTRACE, *words], env=own | settings, check=False)
    if done.returncode not in (0, _DIFFERS):
        done.check_returncode()


def _next_steps(fleets: list[Fleet]) -> None:
    fleet = fleets[0]
    either = "either" if len(fleets) > 1 else "it"
    print(f"""
The official Python SDK (pip install cloudflare) speaks to {either} with its base URL changed:

    from cloudflare import Cloudflare
    client = Cloudflare(base_url="{fleet.base_url}", api_token="{fleet.token}")
    client.diagnostics.traceroutes.create(
        account_id="{ACCOUNT}", targets={_TARGETS}, colos=["den", "sin"])

The page: {fleet.url}/ (sign in with {fleet.token})
API description: {fleet.url}/docs""")


def _shortened(answer: dict[str, Any]) -> str:
    """Indented JSON with only the first element of each list."""
    for target in answer["result"]:
        for colo in target["colos"]:
            _cut(colo["hops"], "hops")
        _cut(target["colos"], "colo rows")
    _cut(answer["result"], "target rows")
    return json.dumps(answer, indent=2, ensure_ascii=False)


def _cut(items: list[Any], word: str) -> None:
    items[1:] = [f"… and {len(items) - 1} {word} more"] if len(items) > 1 else []


@contextmanager
def _step(words: str) -> Iterator[None]:
    print(f"{words} … ", end="", flush=True)
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
