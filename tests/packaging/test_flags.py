"""The command lines of the three programs, as their users and the units rely on them."""

import importlib
from importlib.metadata import version

import pytest
import typer.main

from .programs import NAMES, run

# These end the program at once: to set them for good makes no sense.
ASKED = {"--help", "--version"}


def commands(command, path):
    """A command and all below it, each with the words that lead there."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, [*path, name])


def flags():
    """Each flag of each command."""
    for program, package in NAMES.items():
        app = typer.main.get_command(importlib.import_module(f"{package}.main").app)
        for path, command in commands(app, [program]):
            for parameter in command.params:
                if parameter.param_type_name == "option":
                    name = max(parameter.opts, key=len)
                    if name not in ASKED:
                        yield pytest.param(parameter, name, id=" ".join([*path, name]))


@pytest.mark.parametrize(("parameter", "name"), list(flags()))
def test_every_flag_has_a_variable(parameter, name):
    """COLOTRACE_ and the flag's own name."""
    wanted = "COLOTRACE_" + name.removeprefix("--").replace("-", "_").upper()
    assert parameter.envvar == wanted


def test_all_commands_are_walked():
    """Else the test above shows nothing."""
    assert len(list(flags())) > 60


@pytest.mark.parametrize("program", NAMES)
def test_version(program):
    """Each says which it is."""
    done = run(program, "--version")
    assert (done.returncode, done.stdout) == (0, version("colotrace") + "\n")


@pytest.mark.parametrize("by_flag", [False, True])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("broker.example", "it does not begin with mqtt:// or mqtts://"),
        ("mqtts://broker.example/elsewhere", "it has a path, query or fragment"),
    ],
)
@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("colotrace-agent", ["run", "--colo", "den01", "--city", "D", "--insecure"]),
        ("colotrace-coordinator", ["serve", "--data", "unused", "--insecure"]),
    ],
)
def test_a_broker_that_cannot_be_meant(program, command, url, words, *, by_flag):
    """Said in the same words by both, and before anything is begun."""
    flag, environment = (["--mqtt", url], {}) if by_flag else ([], {"COLOTRACE_MQTT": url})
    done = run(program, *command, *flag, **environment)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{program}: --mqtt: {words}")


def test_a_variable_is_taken():
    """For one flag of each program beside the units' own."""
    done = run("colotrace-agent", "trace", "::1", COLOTRACE_MAX_TTL="65")
    assert done.returncode == 2
    assert "COLOTRACE_MAX_TTL" in done.stderr
    done = run("colotrace", "trace", "::1", COLOTRACE_FROM=",")
    assert done.returncode == 2
    assert "--from" in done.stderr
