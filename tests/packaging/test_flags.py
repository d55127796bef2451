"""The command lines of the three programs: flags, variables, versions."""

import importlib
from importlib.metadata import version

import pytest
import typer.main

from .programs import NAMES, run

# These end the program at once, so they need no variable.
ASKED = {"--help", "--version", "--install-completion", "--show-completion"}


def commands(command, path):
    """A command and all its subcommands, each with its path."""
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
    """The variable is COLOTRACE_ and the flag's name."""
    wanted = "COLOTRACE_" + name.removeprefix("--").replace("-", "_").upper()
    assert parameter.envvar == wanted


def test_all_commands_are_walked():
    """Otherwise the test above would test nothing."""
    assert len(list(flags())) > 60


@pytest.mark.parametrize("program", NAMES)
def test_version(program):
    """Each program prints its version."""
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
def test_invalid_broker_url_is_refused(program, command, url, words, *, by_flag):
    """Both programs give the same message, before they do anything."""
    flag, environment = (["--mqtt", url], {}) if by_flag else ([], {"COLOTRACE_MQTT": url})
    done = run(program, *command, *flag, **environment)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{program}: --mqtt: {words}")


def test_variables_are_used():
    """For one flag of each program that the units do not set."""
    done = run("colotrace-agent", "trace", "::1", COLOTRACE_MAX_TTL="65")
    assert done.returncode == 2
    assert "COLOTRACE_MAX_TTL" in done.stderr
    done = run("colotrace", "trace", "::1", COLOTRACE_FROM=",")
    assert done.returncode == 2
    assert "--from" in done.stderr
