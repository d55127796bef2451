"""The Dockerfile and the compose file fit each other, the checkout and the programs.

No image is built here: that takes a container engine and the network.
"""

import re
from pathlib import Path

import pytest
import yaml

from .programs import AGENT, COORDINATOR, known

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROGRAMS = {"agent": AGENT, "coordinator": COORDINATOR}


@pytest.fixture(scope="module")
def stages():
    """Each stage's instructions, by its name: (base, [(word, rest) …])."""
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    found, current = {}, None
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()
            current = found[name] = (base, [])
        elif current is not None and word.isupper():
            current[1].append((word, rest))
    return found


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize("target", PROGRAMS)
def test_the_images_run_without_root(stages, target):
    """The last USER is a number that is not 0, and the entry point is the program."""
    instructions = stages[target][1]
    (user,) = [rest for word, rest in instructions if word == "USER"]
    assert int(user) > 0
    entry = [rest for word, rest in instructions if word == "ENTRYPOINT"]
    assert entry == [f'["/opt/colotrace/bin/colotrace-{target}"]']
    assert ("CMD", f'["{PROGRAMS[target][1]}"]') in instructions


def test_stages_copy_from_stages_that_exist(stages):
    """Every base and every --from is the pinned image or an earlier stage."""
    earlier = {"${PYTHON}"}
    for name, (base, instructions) in stages.items():
        assert base in earlier
        for word, rest in instructions:
            copied = re.match(r"--from=(\S+)", rest) if word == "COPY" else None
            assert copied is None or copied[1] in earlier
        earlier.add(name)


def test_every_install_is_pinned(stages):
    """Each pip install takes the constraints."""
    runs = [rest for _, lines in stages.values() for word, rest in lines if word == "RUN"]
    installs = [part for run in runs for part in run.split("&&") if "pip install" in part]
    assert installs
    assert all("-c constraints.txt" in part for part in installs)


def test_the_build_gets_what_it_needs_and_no_more():
    """.dockerignore lets through what the wheel is made of, all of which exists."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert let_through == {
        *("pyproject.toml", "constraints.txt", "README.md", "LICENSE"),
        *("proto", "agent", "coordinator", "cli"),
    }
    assert all((ROOT / name).exists() for name in let_through)


def test_services_build_stages_that_exist(stages, services):
    """Context, file and target of each service."""
    for service in services.values():
        build = service["build"]
        context = (ROOT / "deploy" / build["context"]).resolve()
        assert context == ROOT
        assert (context / build["dockerfile"]).samefile(DOCKERFILE)
        assert build["target"] in stages


def test_services_are_a_coordinator_and_two_agents(services):
    """Two colos; the agents start when the coordinator is well."""
    agents = [s for s in services.values() if s["build"]["target"] == "agent"]
    assert len({agent["environment"]["COLOTRACE_COLO"] for agent in agents}) == 2
    for agent in agents:
        assert agent["cap_drop"] == ["ALL"]
        assert agent["cap_add"] == ["NET_RAW", "NET_ADMIN"]
        assert agent["volumes"] == ["/etc/machine-id:/etc/machine-id:ro"]
        # The kernel would ignore the interpreter's file capability.
        assert "security_opt" not in agent
        assert agent["depends_on"] == {"coordinator": {"condition": "service_healthy"}}
    assert services["coordinator"]["cap_drop"] == ["ALL"]
    assert "cap_add" not in services["coordinator"]


def test_every_setting_is_one_that_the_program_knows(stages, services):
    """Of the compose file, and of the images' ENV."""
    for service in services.values():
        target = service["build"]["target"]
        assert set(service["environment"]) <= known(*PROGRAMS[target])
    for target, program in PROGRAMS.items():
        for word, rest in stages[target][1]:
            if word == "ENV":
                named = set(re.findall(r"\b(COLOTRACE_[A-Z0-9_]+)=", rest))
                assert named <= known(*program)


def test_networks_and_volumes_are_declared(services):
    """What services name is there."""
    whole = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    for service in services.values():
        assert set(service["networks"]) <= set(whole["networks"])
        volumes = {volume.split(":")[0] for volume in service.get("volumes", [])}
        of_the_host = {volume for volume in volumes if volume.startswith("/")}
        assert volumes - of_the_host <= set(whole["volumes"])


def test_the_interpreter_carries_what_the_container_is_given(stages, services):
    """No more, or the kernel would not start it; no less, or it would not have it."""
    runs = [rest for word, rest in stages["agent"][1] if word == "RUN"]
    (carried,) = [found[1] for run in runs if (found := re.search(r"setcap (\S+)=ep", run))]
    given = services["den01"]["cap_add"]
    assert carried.split(",") == [f"cap_{name.lower()}" for name in given]
