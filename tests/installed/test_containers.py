"""The Dockerfile's steps are executed, and its images run as containers: not as root, with a root
that is only read, and with CAP_NET_RAW alone for agents."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from eventually import wait_until
from packaging.utils import canonicalize_name

from installed.bases import CHECKOUT, base
from installed.containers import TARGETS, Engine, network
from installed.roots import Root
from installed.world import world

pytestmark = pytest.mark.xdist_group("containers")

VERSION = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
NAME = "coordinator.example.net"
NET_RAW = 1 << 13
RECEIVE_BUFFER = 8 << 20
# podman would add file systems in memory of its own.
READ_ONLY = ("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp")
COORDINATOR = (*READ_ONLY, "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
AGENT = READ_ONLY
"""With CAP_NET_RAW alone (`installed.containers`)."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """With an image of each target."""
    with Engine() as engine:
        for target in TARGETS:
            engine.build(target)
        yield engine


@pytest.fixture
def hosts(tmp_path: Path, engine: Engine) -> Iterator[dict[str, Root]]:
    """The network of a coordinator and two probe hosts; containers take the place of the roots."""
    with world(tmp_path) as made:
        yield {name: made.root(name, base("trixie")) for name in ("coordinator", "one", "two")}
        engine.stop()


@pytest.fixture
def coordinator(engine: Engine, hosts: dict[str, Root]) -> int:
    """The process id of a running, healthy coordinator."""
    pid = engine.start(
        "coordinator",
        "localhost/colotrace-coordinator",
        options=(
            *COORDINATOR,
            *network(hosts["coordinator"].namespace),
            *("--env", f"COLOTRACE_NAME={NAME}"),
            *("--volume", "data:/var/lib/colotrace-coordinator"),
        ),
    )
    wait_until(lambda: engine.is_healthy("coordinator"), within_s=30)
    return pid


def start_agent(engine: Engine, name: str, root: Root, token: str, *options: str) -> int:
    return engine.start(
        name,
        "localhost/colotrace-agent",
        options=(
            *AGENT,
            *network(root.namespace),
            *("--hostname", name, "--env", f"COLOTRACE_JOIN_TOKEN={token}"),
            *("--volume", f"{name}:/var/lib/colotrace-agent", *options),
        ),
    )


def token_for(engine: Engine, colo: str) -> str:
    """What `agent enroll` prints behind `join`."""
    line = engine.execute(
        *("coordinator", "colotrace-coordinator", "agent", "enroll"),
        *("--colo", colo, "--city", "Denver, CO, US"),
    )
    return line.split()[-1]


def status(pid: int) -> dict[str, str]:
    """Fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def root_is_read_only(pid: int) -> bool:
    [options] = re.findall(r"^\S+ / \S+ (\S+)", Path(f"/proc/{pid}/mounts").read_text(), re.M)
    return "ro" in options.split(",")


def test_trace_is_answered_by_containers(
    engine: Engine, hosts: dict[str, Root], coordinator: int, tmp_path: Path
) -> None:
    """Coordinator, two agents and the command, each in a container, over TLS everywhere."""
    pids = {
        name: start_agent(engine, name, hosts[name], token_for(engine, colo))
        for name, colo in (("one", "den01"), ("two", "sin01"))
    }
    for name in pids:
        wait_until(lambda name=name: engine.is_healthy(name), within_s=30)

    authority = tmp_path / "ca.pem"
    authority.write_text(engine.execute("coordinator", "colotrace-coordinator", "ca", "show"))
    token = engine.execute(
        *("coordinator", "colotrace-coordinator", "token", "create", "--account", "demo")
    ).strip()
    shown = engine.run(
        "localhost/colotrace-cli",
        *("trace", "example.com", "--from", "den,sin", "--json", "--ipv4"),
        options=(
            *COORDINATOR,
            *network(hosts["one"].namespace),
            *("--volume", f"{authority}:/ca.pem:ro", "--env", "COLOTRACE_CA_FILE=/ca.pem"),
            *("--env", f"COLOTRACE_URL=https://{NAME}:8080", "--env", "COLOTRACE_ACCOUNT=demo"),
            *("--env", f"COLOTRACE_TOKEN={token}"),
        ),
    )
    rows = json.loads(shown)["result"][0]["colos"]
    assert [(row["colo"]["name"], row["error"]) for row in rows] == [("den01", ""), ("sin01", "")]
    assert all(row["hops"][-1]["nodes"][0]["ip"] for row in rows)

    served = status(coordinator)
    assert served["Uid"].split() == ["10002"] * 4
    assert served["CapBnd"] == served["CapPrm"] == f"{0:016x}"
    assert served["NoNewPrivs"] == "1"
    for name, pid in pids.items():
        agent = status(pid)
        assert agent["Uid"].split() == ["10001"] * 4
        assert agent["CapPrm"] == agent["CapEff"] == agent["CapBnd"] == f"{NET_RAW:016x}"
        assert agent["NoNewPrivs"] == "1"
        assert root_is_read_only(pid)
        assert engine.logs(name).count("receive buffers are small") == (
            int(Path("/proc/sys/net/core/rmem_max").read_text()) < RECEIVE_BUFFER
        )
    assert root_is_read_only(coordinator)


def test_agent_starts_again_without_joining_anew(
    engine: Engine, hosts: dict[str, Root], coordinator: int
) -> None:
    """By the same command, with a token that was used."""
    token = token_for(engine, "den01")
    start_agent(engine, "one", hosts["one"], token)
    wait_until(lambda: engine.is_healthy("one"), within_s=30)
    engine.podman("restart", "--time", "30", "one")
    wait_until(lambda: engine.is_healthy("one"), within_s=30)
    assert engine.logs("one").count("joined coordinator.example.net") == 1


def test_agent_without_a_coordinator_is_alive_but_not_healthy(
    engine: Engine, hosts: dict[str, Root], coordinator: int
) -> None:
    """So that a check whose failure restarts agents does not restart them all."""
    start_agent(engine, "one", hosts["one"], token_for(engine, "den01"))
    wait_until(lambda: engine.is_healthy("one"), within_s=30)
    engine.podman("stop", "--time", "30", "coordinator")
    wait_until(lambda: not engine.is_healthy("one"), within_s=30)
    engine.execute("one", "/opt/colotrace/bin/health", "--alive")


def test_agent_says_what_to_do_without_file_capabilities(
    engine: Engine, hosts: dict[str, Root]
) -> None:
    """With no-new-privileges the kernel ignores them."""
    done = engine.completed(
        *("run", "--rm", *engine.limits(), *AGENT, *network(hosts["one"].namespace)),
        *("--security-opt", "no-new-privileges", "--env", "COLOTRACE_STATE_DIR="),
        *("localhost/colotrace-agent", "run", "--colo", "den01", "--city", "x", "--insecure"),
        *("--coordinator", "192.0.2.1:8081"),
    )
    assert done.returncode == 2
    assert "without no-new-privileges" in done.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_images_list_what_is_in_them(engine: Engine, target: str) -> None:
    """In an SBOM, with the pinned versions, and no more than the program needs."""
    text = engine.run(
        f"localhost/colotrace-{target}",
        "/opt/colotrace/sbom.cdx.json",
        options=("--network", "none", "--entrypoint", "/bin/cat"),
    )
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    listed = {
        canonicalize_name(each["name"]): each["version"] for each in json.loads(text)["components"]
    }
    assert "pip" not in listed
    assert listed.pop("colotrace") == VERSION
    pinned = re.findall(
        r"(?m)^([a-z0-9._-]+)==([^ ]+)", (CHECKOUT / f"requirements/{target}.txt").read_text()
    )
    assert listed.items() <= {(canonicalize_name(name), version) for name, version in pinned}
    assert {"agent": "grpcio", "coordinator": "sqlalchemy", "cli": "httpx"}[target] in listed
