"""The Dockerfile and the compose files match each other, the checkout and the programs. No image is
built here, since that needs a container engine and the network (tests/installed)."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from colotrace_proto.bus import broker_of
from sqlalchemy.engine import make_url

from .programs import AGENT, COORDINATOR, known

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROGRAMS = {"agent": AGENT, "coordinator": COORDINATOR}


@pytest.fixture(scope="module")
def stages():
    """The instructions of each stage by its name: (base, [(word, rest) …])."""
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


@pytest.fixture(scope="module", params=["compose.yaml", "compose.mqtt.yaml"])
def compose(request):
    """The content of a compose file."""
    return yaml.safe_load((ROOT / "deploy" / request.param).read_text())


@pytest.fixture
def services(compose):
    """The services that run this project's programs."""
    return {name: each for name, each in compose["services"].items() if "build" in each}


@pytest.fixture
def agents(services):
    return [each for each in services.values() if each["build"]["target"] == "agent"]


@pytest.fixture(scope="module")
def whole():
    """The services of the compose file of the whole."""
    return yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]


@pytest.fixture(scope="module")
def with_broker():
    """The services of the compose file with a broker."""
    return yaml.safe_load((ROOT / "deploy" / "compose.mqtt.yaml").read_text())["services"]


@pytest.mark.parametrize("target", PROGRAMS)
def test_the_images_run_without_root(stages, target):
    """The last USER is a number other than 0, and the entry point is the program."""
    instructions = stages[target][1]
    (user,) = [rest for word, rest in instructions if word == "USER"]
    assert int(user) > 0
    entry = [rest for word, rest in instructions if word == "ENTRYPOINT"]
    assert entry == [f'["/opt/colotrace/bin/colotrace-{target}"]']
    assert ("CMD", f'["{PROGRAMS[target][1]}"]') in instructions


def test_stages_copy_from_existing_stages(stages):
    """Each base and each --from is the pinned image or an earlier stage."""
    earlier = {"${PYTHON}"}
    for name, (base, instructions) in stages.items():
        assert base in earlier
        for word, rest in instructions:
            copied = re.match(r"--from=(\S+)", rest) if word == "COPY" else None
            assert copied is None or copied[1] in earlier
        earlier.add(name)


def test_every_install_is_pinned(stages):
    """By the constraints; what goes into images by hash, and the wheel alone without."""
    for name, (_, lines) in stages.items():
        runs = [rest for word, rest in lines if word == "RUN"]
        for part in (part for run in runs for part in run.split("&&") if "pip install" in part):
            if name == "build":
                assert "-c constraints.txt" in part
            else:
                assert "--require-hashes -r" in part or "--no-deps --no-index" in part


def test_the_build_gets_what_it_needs_and_no_more():
    """.dockerignore passes the sources of the wheel, and what the images need; all of it exists."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert let_through == {
        *("pyproject.toml", "constraints.txt", "requirements", "README.md", "LICENSE"),
        *(Path(package).parts[0] for package in wheel["packages"]),
        "deploy/image",
    }
    assert let_through >= set(wheel["shared-data"])
    assert all((ROOT / name).exists() for name in let_through)


def test_services_build_existing_stages(stages, services):
    """Context, file and target of each service exist."""
    for service in services.values():
        build = service["build"]
        context = (ROOT / "deploy" / build["context"]).resolve()
        assert context == ROOT
        assert (context / build["dockerfile"]).samefile(DOCKERFILE)
        assert build["target"] in stages


def test_services_have_limits_and_few_privileges(compose, agents):
    """Capabilities, a root that is only read, limits, and a check of the health of each."""
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        if service.get("restart"):
            check = service["healthcheck"] if "build" not in service else {"test": "the image's"}
            assert check["test"], name
        if service in agents:
            assert service["cap_add"] == ["NET_RAW"]
            # With it the kernel would ignore the interpreter's file capabilities.
            assert "security_opt" not in service
        else:
            assert "cap_add" not in service, name
            assert service["security_opt"] == ["no-new-privileges:true"], name


def test_images_of_others_can_be_replaced(compose):
    """By a variable, for example with a digest."""
    for service in compose["services"].values():
        if "build" in service:
            python = service["build"]["args"]["PYTHON"]
            assert re.fullmatch(r"\$\{PYTHON_IMAGE:-python:.+\}", python)
        else:
            image = service["image"]
            assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/-]+:v?[0-9.]+(-alpine)?\}", image)


def test_agents_are_of_two_colos(agents):
    """Each with flows of its own; they start when they can attach."""
    told = [agent["environment"] for agent in agents]
    assert len({each.get("COLOTRACE_COLO") or each["COLOTRACE_JOIN_TOKEN"] for each in told}) == 2
    for agent in agents:
        assert "/etc/machine-id:/etc/machine-id:ro" in agent["volumes"]
        assert agent["depends_on"] in (
            {"broker": {"condition": "service_healthy"}},
            {"enroll": {"condition": "service_completed_successfully"}},
        )


def test_agents_join_by_tokens_of_the_service_enroll(whole):
    """Which writes one for each agent, into the volume that the agents read."""
    agents = [each for each in whole.values() if each.get("build", {}).get("target") == "agent"]
    script = whole["enroll"]["command"][-1]
    [directory] = re.findall(r"cd (\S+)", script)
    assert f"join:{directory}" in whole["enroll"]["volumes"]
    written = {f"@{directory}/{file}" for file in re.findall(r'enroll \w+ ".+" (\S+)', script)}
    assert {agent["environment"]["COLOTRACE_JOIN_TOKEN"] for agent in agents} == written
    for agent in agents:
        assert f"join:{directory}:ro" in agent["volumes"]
        kept = [each for each in agent["volumes"] if each.endswith(":/var/lib/colotrace-agent")]
        assert len(kept) == 1
    assert len({tuple(agent["volumes"]) for agent in agents}) == len(agents)


def test_broker_of_the_whole_reads_what_broker_files_writes(whole):
    """Both run as the same user, so that one can signal the other."""
    text = (ROOT / "deploy" / "mqtt" / "enrolled.conf").read_text()
    named = dict(re.findall(r"(?m)^(\w*file) (\S+)$", text))
    options = dict(each.partition("=")[::2] for each in whole["broker-files"]["command"][2:])
    read = {str(Path(named[each]).parent) for each in ("certfile", "keyfile", "cafile", "acl_file")}
    assert read == {options["--out"]}
    assert named["pid_file"] == options["--pid-file"]
    mounted = [volume.split(":")[:2] for volume in whole["broker"]["volumes"]]
    assert ["./mqtt/enrolled.conf", "/mosquitto/config/mosquitto.conf"] in mounted
    for volume in (each for each in mounted if not each[0].startswith(".")):
        assert ":".join(volume) in whole["broker-files"]["volumes"]
    assert whole["broker"]["pid"] == whole["broker-files"]["pid"] == "service:broker-processes"
    user = whole["broker"]["user"]
    assert f"USER {user}\n" in DOCKERFILE.read_text().partition("AS coordinator\n")[2]
    volumes = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["volumes"]
    for name in ("broker", "broker-run"):
        assert volumes[name]["driver_opts"]["o"].startswith(f"uid={user},")


def test_coordinators_share_a_broker_and_a_database(with_broker):
    """Each advertises its own name to agents."""
    pair = {name: with_broker[name]["environment"] for name in ("coordinator1", "coordinator2")}
    for name, environment in pair.items():
        assert environment["COLOTRACE_ADVERTISE"] == f"{name}:8081"
    for shared in ("COLOTRACE_MQTT", "COLOTRACE_DATABASE", "COLOTRACE_TRUSTED_PROXY"):
        assert len({environment[shared] for environment in pair.values()}) == 1
    proxy = with_broker["proxy"]["networks"]["fleet"]["ipv4_address"]
    assert pair["coordinator1"]["COLOTRACE_TRUSTED_PROXY"] == proxy
    database = make_url(pair["coordinator1"]["COLOTRACE_DATABASE"])
    given = with_broker["database"]["environment"]
    assert database.host == "database"
    assert (database.username, database.password) == (
        given["POSTGRES_USER"],
        given["POSTGRES_PASSWORD"],
    )
    assert database.database == given["POSTGRES_USER"]  # PostgreSQL's default


def test_proxy_uses_the_coordinators(with_broker):
    """Both backends have their names and port, and the health check is the readiness route."""
    proxy = with_broker["proxy"]
    ((here, _),) = [volume.split(":")[:2] for volume in proxy["volumes"]]
    text = (ROOT / "deploy" / here).read_text()
    for backend in ("ready", "any"):
        (lines,) = re.findall(rf"(?m)^backend {backend}\n((?:    .*\n)+)", text)
        servers = re.findall(r"(?m)^    server (\S+) (\S+)$", lines)
        assert servers == [(name, f"{name}:8080") for name in proxy["depends_on"]]
        assert ("GET /readyz" in lines) is (backend == "ready")
    (bound,) = re.findall(r"(?m)^    bind :(\d+)$", text)
    assert proxy["ports"] == [f"127.0.0.1:8080:{bound}"]


def test_users_at_the_broker_are_those_of_its_acl(with_broker):
    """Each agent's user is its id, which the ACL has for its colo."""
    acl = (ROOT / "deploy" / "mqtt" / "acl").read_text()
    script = with_broker["broker"]["command"][-1]
    (made,) = re.findall(r"for user in (.+); do", script)
    assert set(made.split()) == set(re.findall(r"(?m)^user (\S+)$", acl))
    for service in with_broker.values():
        environment = service.get("environment", {})
        if "COLOTRACE_MQTT" in environment:
            broker = broker_of(environment["COLOTRACE_MQTT"])
            assert (broker.host, broker.port, broker.tls) == ("broker", 1883, False)
            assert broker.password == broker.username
            if "COLOTRACE_COLO" in environment:
                agent, colo = environment["COLOTRACE_AGENT_ID"], environment["COLOTRACE_COLO"]
                assert broker.username == agent
                assert f"user {agent}\ntopic write colotrace/v1/agents/{colo}/{agent}/+\n" in acl
            else:
                assert broker.username == "coordinator"


def test_files_of_the_broker_exist(with_broker):
    """Mounted files exist, and the configuration uses paths of the container."""
    mounted = dict(volume.split(":")[:2] for volume in with_broker["broker"]["volumes"])
    for here in mounted:
        assert (ROOT / "deploy" / here).is_file()
    text = (ROOT / "deploy" / "mqtt" / "compose.conf").read_text()
    named = dict(re.findall(r"(?m)^(\w+_file) (\S+)$", text))
    assert named["acl_file"] in mounted.values()
    assert f"mosquitto_passwd -b {named['password_file']} " in with_broker["broker"]["command"][-1]
    # The limits are the same as in the file for a host.
    of_a_host = (ROOT / "deploy" / "mqtt" / "mosquitto.conf").read_text()
    for line in text.splitlines():
        if re.match("max_|persistence|set_|allow_", line):
            assert re.search(f"(?m)^{line}$", of_a_host), line


def test_every_setting_is_known_to_the_program(stages, services):
    """Settings of the compose files, and of the images' ENV."""
    for service in services.values():
        target = service["build"]["target"]
        if service.get("command") is None:
            assert set(service["environment"]) <= known(*PROGRAMS[target])
    for target, program in PROGRAMS.items():
        for word, rest in stages[target][1]:
            if word == "ENV":
                named = set(re.findall(r"\b(COLOTRACE_[A-Z0-9_]+)=", rest))
                assert named <= known(*program)


def test_agents_reach_no_service_with_a_default_password(whole):
    """Whoever breaks into an agent's container would have the database, and with it all tokens."""
    reached = {*whole["den01"]["networks"], *whole["sin01"]["networks"]}
    for name, service in whole.items():
        passwords = [key for key in service.get("environment", {}) if "PASSWORD" in key]
        assert not passwords or not reached & {*service["networks"]}, name


def test_networks_and_volumes_are_declared(compose):
    """Networks and volumes of services are declared."""
    for service in compose["services"].values():
        if service.get("network_mode") != "none":
            assert set(service["networks"]) <= set(compose["networks"])
        volumes = {volume.split(":")[0] for volume in service.get("volumes", [])}
        of_the_host = {volume for volume in volumes if volume.startswith(("/", "./"))}
        assert volumes - of_the_host <= set(compose["volumes"])


def test_interpreter_has_the_capabilities_of_the_container(stages, agents):
    """With more the kernel would refuse to start it; with less it would lack some."""
    runs = [rest for word, rest in stages["agent"][1] if word == "RUN"]
    carried = [found[1] for run in runs if (found := re.search(r"1 << (\d+), 0, 0, 0\)", run))]
    assert carried == ["13"]  # CAP_NET_RAW
    for agent in agents:
        assert agent["cap_add"] == ["NET_RAW"]
