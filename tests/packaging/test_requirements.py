"""`requirements/*.txt`: what an installation of each program gets, pinned with hashes."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "agent": ("agent", "mqtt"),
    "coordinator": ("coordinator", "mqtt", "postgres"),
    "cli": ("cli",),
}
PROGRAMS = pytest.mark.parametrize("program", sorted(EXTRAS))


def _entries(program):
    """The requirements of the file, each with its hashes."""
    text = (ROOT / "requirements" / f"{program}.txt").read_text()
    lines = re.sub(r"\\\n\s+", "", text).splitlines()
    for line in lines:
        if not line.startswith("#"):
            requirement, *hashes = line.split("--hash=")
            yield Requirement(requirement), [each.strip() for each in hashes]


def _needed(extras):
    """The distributions that an installation with these extras has, by their metadata here."""
    todo = [Requirement(line) for line in PROJECT["dependencies"]]
    todo += [
        Requirement(line) for extra in extras for line in PROJECT["optional-dependencies"][extra]
    ]
    seen, names = set(), set()
    while todo:
        requirement = todo.pop()
        names.add(name := canonicalize_name(requirement.name))
        for extra in {"", *requirement.extras} - {each for known, each in seen if known == name}:
            seen.add((name, extra))
            further = map(Requirement, metadata.requires(name) or [])
            todo += [
                each
                for each in further
                if not each.marker or each.marker.evaluate({"extra": extra})
            ]
    return names


@PROGRAMS
def test_versions_are_those_of_the_tests(program):
    """What is installed with hashes is what is tested."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = {
        canonicalize_name(name): f"=={version}"
        for name, _, version in (line.partition("==") for line in lines if not line.startswith("#"))
    }
    for requirement, _ in _entries(program):
        assert str(requirement.specifier) == tested[canonicalize_name(requirement.name)]


@PROGRAMS
def test_all_dependencies_are_pinned_and_no_others(program):
    """`pip install --require-hashes` refuses a file that lacks one."""
    pinned = {canonicalize_name(requirement.name) for requirement, _ in _entries(program)}
    assert pinned == _needed(EXTRAS[program])


@PROGRAMS
def test_each_has_hashes_and_none_names_a_host(program):
    """Files of any index do, if they have these hashes."""
    text = (ROOT / "requirements" / f"{program}.txt").read_text()
    assert "://" not in text
    assert "\n-" not in text
    for requirement, hashes in _entries(program):
        assert requirement.url is None
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes)


@PROGRAMS
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_all_apply_to_each_debian(program, machine, python):
    """Debian 12 and 13. A package that only one of them needs has a marker."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for requirement, _ in _entries(program):
        assert requirement.marker is None or requirement.marker.evaluate(environment)
