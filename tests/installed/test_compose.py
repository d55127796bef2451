"""The compose files as Docker Compose reads them, and the dashboard's queries as Prometheus answers
them about a real coordinator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from eventually import wait_until
from fleet import Fleet
from fleet.broker import Broker, free_port
from lab import Lab

from installed.composed import Composed
from installed.containers import Engine
from installed.world import world

pytestmark = pytest.mark.xdist_group("containers")  # one podman

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = Path(sys.executable).with_name("docker-compose")
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/colotrace.json").read_text())


@pytest.mark.parametrize("name", ["compose.yaml", "compose.mqtt.yaml"])
def test_compose_accepts_the_file(name: str) -> None:
    """Docker Compose's own reading of it, with every variable and reference resolved."""
    done = subprocess.run(
        [COMPOSE, "--file", DEPLOY / name, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHON_IMAGE": "python@sha256:0"},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == set(yaml.safe_load((DEPLOY / name).read_text())["services"])
    built = [each["build"] for each in services.values() if "build" in each]
    assert {build["args"]["PYTHON"] for build in built} == {"python@sha256:0"}


def test_prometheus_accepts_its_configuration() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", DEPLOY / "prometheus/prometheus.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "colotrace.rules.yaml" in done.stdout


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """With the images of the services."""
    with Engine() as engine:
        for target in ("agent", "coordinator"):
            engine.build(target)
        yield engine


def test_agents_of_the_whole_enrol_and_trace(engine: Engine, tmp_path: Path) -> None:
    """All but Grafana: by PostgreSQL, and by the broker with its rights from enrolment."""
    with world(tmp_path) as made:
        composed = Composed(engine, made, DEPLOY / "compose.yaml", without=frozenset({"grafana"}))
        composed.up()
        command = ("coordinator", "colotrace-coordinator")
        listed = json.loads(engine.execute(*command, "agent", "list", "--json"))
        assert [each["colo"] for each in listed] == ["den01", "sin01"]
        token = engine.execute(*command, "token", "create", "--account", "demo").strip()
        broker = engine.pid("broker")
        engine.podman("kill", "broker-files")
        engine.podman("wait", "broker-files")
        answer = json.loads(
            engine.execute("coordinator", "python3", "-c", REQUEST, token)  # as curl would
        )
        rows = answer["result"][0]["colos"]
        assert [(row["colo"]["name"], row["error"]) for row in rows] == [
            ("den01", ""),
            ("sin01", ""),
        ]
        assert "at the broker" in engine.logs("den01")
        assert engine.pid("broker") == broker  # it does not end with broker-files
        up = 'http://127.0.0.1:9090/api/v1/query?query=up{job="colotrace"}==1'
        wait_until(
            lambda: '"coordinator:9090"' in engine.execute("prometheus", "wget", "-qO-", up),
            within_s=40,
        )
        engine.stop()


REQUEST = """
import json, ssl, sys, urllib.request
unchecked = ssl.create_default_context()
unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
asked = urllib.request.Request(
    "https://localhost:8080/accounts/demo/diagnostics/traceroute",
    json.dumps({"targets": ["93.184.215.14"], "colos": ["den", "sin"]}).encode(),
    {"Authorization": "Bearer " + sys.argv[1], "Content-Type": "application/json"},
)
print(urllib.request.urlopen(asked, context=unchecked).read().decode())
"""


def queries() -> list[str]:
    """The expressions of all panels."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.fixture(scope="module")
def prometheus(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """It scrapes a coordinator with a broker that has answered requests."""
    directory = tmp_path_factory.mktemp("prometheus")
    port = free_port("127.0.0.1")
    with Broker(lab) as broker, Fleet(lab, broker=broker) as fleet:
        fleet.wait_attached()
        configuration = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
        configuration["global"]["scrape_interval"] = "250ms"
        [job] = configuration["scrape_configs"]
        job["static_configs"] = [{"targets": [fleet.url.removeprefix("http://")]}]
        configuration["rule_files"] = [str(DEPLOY / "prometheus/colotrace.rules.yaml")]
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
        with (directory / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    *("prometheus", f"--config.file={directory}/prometheus.yaml"),
                    *(f"--storage.tsdb.path={directory}/data", "--log.level=warn"),
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                wait_until(lambda: is_ready(client), within_s=30)
                # Counters rise from the first scrape on.
                wait_until(lambda: bool(answer(client, "up == 1")), within_s=20)
                fleet.trace({"targets": ["web.lab.example"]})
                counted = 'sum(increase(colotrace_jobs_total{code="0"}[1m])) > 0'
                wait_until(lambda: bool(answer(client, counted)), within_s=20)
                yield client
        finally:
            process.terminate()
            process.wait(20)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def answer(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The series that a query finds now."""
    told = client.get("/api/v1/query", params={"query": query}).json()
    assert told["status"] == "success", told
    return told["data"]["result"]


@pytest.mark.parametrize("query", queries())
def test_query_of_the_dashboard_finds_series(prometheus: httpx.Client, query: str) -> None:
    written = query.replace("$__rate_interval", "1m").replace("$instance", ".*")
    assert "$" not in written
    assert answer(prometheus, written)


def test_dashboard_uses_the_provisioned_source() -> None:
    """By its uid, in every panel and variable."""
    [source] = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    )["datasources"]
    text = json.dumps(DASHBOARD)
    assert text.count('"datasource"') == text.count(
        f'"type": "{source["type"]}", "uid": "prometheus"'
    )
    assert source["uid"] == "prometheus"
    [provider] = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/dashboards/colotrace.yaml").read_text()
    )["providers"]
    grafana = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
