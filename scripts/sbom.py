#!/usr/bin/env python3
"""Write a bill of materials for each program: what an installation of it has, as CycloneDX JSON.

Components, versions and hashes come from `requirements/*.txt`. Licences and dependencies come from
the metadata of the same versions in the running environment (`make setup`). The same checkout
always gives the same bytes: they contain no time and no serial number.
"""

import argparse
import base64
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.spdx import fixup_id, is_expression
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
VENDORED = ROOT / "coordinator/colotrace_coordinator/web/static/vendor/vendored.toml"
PROGRAMS = {
    "agent": ("agent", "mqtt"),
    "coordinator": ("coordinator", "mqtt", "postgres"),
    "cli": ("cli",),
}

# What the metadata of these packages says is no SPDX expression; read from their licence files.
LICENCES = {
    "aiomqtt": "BSD-3-Clause",
    "protobuf": "BSD-3-Clause",
    "shellingham": "ISC",
    "uvloop": "MIT OR Apache-2.0",
}
CLASSIFIERS = {"License :: OSI Approved :: MIT License": "MIT"}
# Where a dependency depends on the environment, the bill is of this one.
ENVIRONMENT = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "platform_machine": "x86_64",
    "platform_system": "Linux",
    "sys_platform": "linux",
    "os_name": "posix",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}


class SbomError(Exception):
    """The bill cannot be made; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A line of a requirements file."""

    name: str
    version: str
    hashes: tuple[str, ...]
    """SHA-256 in hex of each file of that version."""


def pinned(program: str) -> list[Pinned]:
    """The requirements of the program."""
    text = (ROOT / "requirements" / f"{program}.txt").read_text()
    found = []
    for line in re.sub(r"\\\n\s+", "", text).splitlines():
        if line.startswith("#"):
            continue
        words, *hashes = line.split("--hash=sha256:")
        requirement = Requirement(words)
        version = str(requirement.specifier).removeprefix("==")
        name = canonicalize_name(requirement.name)
        found.append(Pinned(name, version, tuple(sorted(each.strip() for each in hashes))))
    return found


def licence(name: str) -> str:
    """The SPDX expression of an installed package.

    Raises:
        SbomError: its metadata holds none, and neither does `LICENCES`.
    """
    if name in LICENCES:
        return LICENCES[name]
    told = metadata.metadata(name)
    stated = told.get("License-Expression") or told.get("License") or ""
    if found := fixup_id(stated):
        return found
    if stated and is_expression(stated):
        return stated
    for classifier in told.get_all("Classifier") or []:
        if classifier in CLASSIFIERS:
            return CLASSIFIERS[classifier]
    raise SbomError(
        f"the metadata of {name} names no SPDX licence; read its licence and add it to LICENCES "
        "in scripts/sbom.py"
    )


def licensed(expression: str, *, declared: bool = True) -> License:
    """The expression as the bill's model has it."""
    how = LicenseAcknowledgement.DECLARED if declared else LicenseAcknowledgement.CONCLUDED
    made: License = LicenseFactory().make_from_string(expression, license_acknowledgement=how)
    return made


def component(package: Pinned) -> Component:
    """A package that pip installs.

    Raises:
        SbomError: the environment has another version, so its licence is not known.
    """
    try:
        here = metadata.version(package.name)
    except metadata.PackageNotFoundError:
        here = "missing"
    if here != package.version:
        raise SbomError(
            f"{package.name} is {here} in this environment, and {package.version} in "
            "requirements/; run make setup"
        )
    purl = PackageURL("pypi", None, package.name, package.version)
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=purl,
        bom_ref=str(purl),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in package.hashes],
        licenses=[licensed(licence(package.name), declared=package.name not in LICENCES)],
    )


def vendored() -> Iterator[Component]:
    """The page's libraries, whose files are in the coordinator's package."""
    for told in tomllib.loads(VENDORED.read_text()).values():
        scope, _, name = str(told["package"]).rpartition("/")
        purl = PackageURL("npm", scope or None, name, told["version"])
        digest = base64.b64decode(told["integrity"].removeprefix("sha512-")).hex()
        yield Component(
            type=ComponentType.LIBRARY,
            group=scope or None,
            name=name,
            version=told["version"],
            purl=purl,
            bom_ref=str(purl),
            hashes=[HashType(alg=HashAlgorithm.SHA_512, content=digest)],
            licenses=[licensed(told["licence"])],
        )


def required(lines: list[str], extras: frozenset[str]) -> Iterator[Requirement]:
    """Those of the lines that apply in `ENVIRONMENT` with these extras."""
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker is None or any(
            marker.evaluate({**ENVIRONMENT, "extra": extra}) for extra in ("", *extras)
        ):
            yield requirement


def bill(program: str) -> Bom:
    """The bill of an installation of one program."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    purl = PackageURL("pypi", None, project["name"], project["version"])
    whole = Component(
        type=ComponentType.APPLICATION,
        name="colotrace" if program == "cli" else f"colotrace-{program}",
        version=project["version"],
        description=project["description"],
        purl=purl,
        bom_ref=str(purl),
        licenses=[licensed(project["license"])],
    )
    bom = Bom()
    bom.metadata.component = whole
    installed = {package.name: component(package) for package in pinned(program)}
    carried = list(vendored()) if program == "coordinator" else []
    for each in (*installed.values(), *carried):
        bom.components.add(each)

    extras = PROGRAMS[program]
    direct = [*project["dependencies"]]
    for extra in extras:
        direct += project["optional-dependencies"][extra]
    asked: dict[str, set[str]] = {}
    first = list(required(direct, frozenset()))
    todo = list(first)
    while todo:  # which extras of which packages are installed
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name not in installed:
            raise SbomError(f"{name} is not in requirements/{program}.txt; run make constraints")
        if name in asked and requirement.extras <= asked[name]:
            continue
        asked.setdefault(name, set()).update(requirement.extras)
        todo += required(metadata.requires(name) or [], frozenset(asked[name]))
    bom.register_dependency(
        whole, [*(installed[canonicalize_name(each.name)] for each in first), *carried]
    )
    for name, each in installed.items():
        further = required(metadata.requires(name) or [], frozenset(asked.get(name, ())))
        bom.register_dependency(each, {installed[canonicalize_name(one.name)] for one in further})
    return bom


def written(bom: Bom) -> str:
    """The bill as JSON, without what differs between two runs."""
    # The library always gives a time and a serial number; both are optional in CycloneDX.
    content = json.loads(
        make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    )
    content.pop("serialNumber", None)
    content["metadata"].pop("timestamp", None)
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """Write one file for each program into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the files PROGRAM.cdx.json")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for program in PROGRAMS:
            bom = bill(program)
            name = bom.metadata.component.name if bom.metadata.component else program
            (folder / f"{name}.cdx.json").write_text(written(bom))
    except SbomError as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
