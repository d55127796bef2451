"""Each program needs only its own extra: checked by all imports, also lazy ones."""

import re
import sys
import tomllib
from copy import deepcopy
from importlib import metadata
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# One worker builds the graph of imports.
pytestmark = pytest.mark.xdist_group("imports")

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
PROGRAMS = {
    "colotrace_agent": ["agent"],
    "colotrace_coordinator": ["coordinator"],
    "colotrace_cli": ["cli"],
}
BESIDE_THE_PROTOCOL = {"colotrace_analysis", "colotrace_formats"}
OURS = {*PROGRAMS, *BESIDE_THE_PROTOCOL, "colotrace_proto"}
# Modules that are used only with --mqtt, and the extra with that name.
AT_A_BROKER = (
    "colotrace_proto.mqtt",
    "colotrace_agent.attachment.broker",
    "colotrace_agent.link.mqtt",
    "colotrace_coordinator.diagnosis.broker",
    "colotrace_coordinator.links.mqtt",
)


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(*OURS, include_external_packages=True, cache_dir=None)


@pytest.mark.parametrize("broker", [False, True], ids=["", "with a broker"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_needs_only_its_extra(graph, program, *, broker):
    """Every imported package is in the program's extra, and no other program is imported."""
    extras = PROGRAMS[program] + ["mqtt"] * broker
    graph = deepcopy(graph)
    for module in [each for each in graph.modules if each.startswith(AT_A_BROKER) and not broker]:
        graph.remove_module(module)
    upstream = {
        name.split(".")[0] for name in graph.find_upstream_modules(program, as_package=True)
    }
    assert upstream & OURS <= {program, *BESIDE_THE_PROTOCOL, "colotrace_proto"}

    installed = _closure([*PROJECT["dependencies"], *_extras(extras)])
    owners = metadata.packages_distributions()
    foreign = {
        module
        for module in upstream - OURS - sys.stdlib_module_names
        if not {canonicalize_name(owner) for owner in owners.get(module, [])} & installed
    }
    assert foreign == set()


def _extras(names):
    return [line for name in names for line in PROJECT["optional-dependencies"][name]]


def _closure(requirements):
    """The distributions that are installed with these, by canonical name."""
    found, todo = set(), [Requirement(line) for line in requirements]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in found:
            continue
        found.add(key)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for line in lines:
            further = Requirement(line)
            extras = requirement.extras or {""}
            if further.marker is None or any(
                further.marker.evaluate({"extra": extra}) for extra in {*extras, ""}
            ):
                todo.append(further)
    return {name for name, _ in found}


def test_constraints_pin_versions_and_name_no_host():
    """Only `name==version`, so that an installation is the same everywhere."""
    lines = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in pinned)
    names = {canonicalize_name(line.partition("==")[0]) for line in pinned}
    declared = [*PROJECT["dependencies"], *_extras(PROJECT["optional-dependencies"])]
    assert {canonicalize_name(Requirement(line).name) for line in declared} <= names
