"""The Helm chart, rendered by Helm's own code and validated against Kubernetes' schemas."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/colotrace"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
OLDEST = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"].strip(">=-0").rstrip(".")
RELEASES = sorted({OLDEST, kubernetes_validate.latest_version().rpartition(".")[0]})
WARNING = 2  # of `helm lint`

POOLS = [
    {"colo": "den01", "city": "Denver, CO, US", "nodeSelector": {"zone": "den"}},
    {
        "colo": "sin01",
        "city": "Singapore, SG",
        "nodeSelector": {"zone": "sin"},
        "settings": {"COLOTRACE_TAG": "provider=x"},
    },
]
SMALL: dict[str, Any] = {}
USUAL: dict[str, Any] = {"agent": {"pools": POOLS, "settings": {"COLOTRACE_TAG": "provider=y"}}}
LARGE: dict[str, Any] = {
    "imagePullSecrets": [{"name": "registry"}],
    "coordinator": {
        "image": {"repository": "example.net/coordinator", "digest": f"sha256:{'a' * 64}"},
        "replicas": 3,
        "names": ["trace.example.net", "192.0.2.1"],
        "service": {"type": "LoadBalancer", "annotations": {"example.net/x": "y"}},
        "database": {"secret": "database"},
        "caSecret": {"secret": "authority"},
        "mqtt": {"secret": "broker"},
        "settings": {"COLOTRACE_KEEP_DAYS": "90"},
        "networkPolicy": {
            "clientsFrom": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
            "agentsFrom": [{"ipBlock": {"cidr": "198.51.100.0/24"}}],
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        },
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}],
    },
    "agent": {"pools": POOLS, "tolerations": [{"operator": "Exists"}]},
}
LABELS = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}


def closed(**properties: object) -> dict[str, object]:
    """The schema of an object with just these properties."""
    names = list(properties)
    return {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": False,
    }


TEXT = {"type": "string"}
SERVICE_MONITOR = closed(
    apiVersion={"const": "monitoring.coreos.com/v1"},
    kind={"const": "ServiceMonitor"},
    metadata=closed(name=TEXT, labels=LABELS),
    spec=closed(
        selector=closed(matchLabels=LABELS),
        namespaceSelector=closed(matchNames={"type": "array", "items": TEXT}),
        endpoints={
            "type": "array",
            "items": closed(
                port=TEXT,
                path={"type": "string", "pattern": "^/"},
                interval={"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
                relabelings={"type": "array", "items": closed(targetLabel=TEXT, replacement=TEXT)},
            ),
        },
    ),
)

ALL = pytest.mark.parametrize("values", [SMALL, USUAL, LARGE], ids=["small", "usual", "large"])


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects that `helm install` would make."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(chart.merge_values(values))
        files = chart.render(values, name="demo", namespace="trace")
    texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def of_kind(values: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in rendered(values) if each["kind"] == kind]


def pods(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The templates of all pods."""
    specs = [each.get("spec", {}) for each in rendered(values)]
    return [spec["template"] for spec in specs if "template" in spec]


def is_selected(labels: dict[str, str], selector: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def test_lint_finds_nothing() -> None:
    found = helm_python.lint(CHART)
    assert found["errors"] == []
    assert [each for each in found["messages"] if each["severity"] >= WARNING] == []


def test_version_is_that_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == VERSION


@ALL
@pytest.mark.parametrize("release", RELEASES)
def test_objects_fit_the_schemas_of_kubernetes(values: dict[str, Any], release: str) -> None:
    """Strictly: a field that Kubernetes does not know is an error."""
    for each in rendered(values):
        if each["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(each, release, strict=True)


def test_service_monitor_has_the_fields_of_the_operator() -> None:
    """By a schema of the fields that the chart uses: no package has that of the operator's CRD."""
    [monitor] = of_kind(LARGE, "ServiceMonitor")
    jsonschema.validate(monitor, SERVICE_MONITOR)
    assert of_kind(USUAL, "ServiceMonitor") == []


@ALL
def test_selectors_find_what_they_are_for(values: dict[str, Any]) -> None:
    objects = rendered(values)
    [coordinator] = [each for each in objects if each["kind"] == "Deployment"]
    template = coordinator["spec"]["template"]
    labels = template["metadata"]["labels"]
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    services = [each for each in objects if each["kind"] == "Service"]
    assert {port["targetPort"] for each in services for port in each["spec"]["ports"]} == ports
    assert all(is_selected(labels, each["spec"]["selector"]) for each in services)
    for each in objects:
        match each["kind"]:
            case "Deployment" | "DaemonSet":
                own = each["spec"]["template"]["metadata"]["labels"]
                assert is_selected(own, each["spec"]["selector"]["matchLabels"])
            case "PodDisruptionBudget":
                assert is_selected(labels, each["spec"]["selector"]["matchLabels"])
            case "NetworkPolicy":
                assert is_selected(labels, each["spec"]["podSelector"]["matchLabels"])
                rules = each["spec"]["ingress"]
                assert {port["port"] for rule in rules for port in rule["ports"]} == ports
            case "ServiceMonitor":
                selector = each["spec"]["selector"]["matchLabels"]
                [service] = [s for s in services if is_selected(s["metadata"]["labels"], selector)]
                assert service["spec"]["ports"][0]["name"] == each["spec"]["endpoints"][0]["port"]
    accounts = {each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"}
    assert {pod["spec"]["serviceAccountName"] for pod in pods(values)} <= accounts
    agents = [each for each in objects if each["kind"] == "DaemonSet"]
    matched = [tuple(sorted(e["spec"]["selector"]["matchLabels"].items())) for e in agents]
    assert len(set(matched)) == len(agents)


@ALL
def test_pods_have_few_privileges(values: dict[str, Any]) -> None:
    """Numbers of users are those of the images."""
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    users = {
        name: int(re.search(rf"AS {name}\n(?:.*\n)*?USER (\d+)", dockerfile)[1])  # type: ignore[index]
        for name in ("coordinator", "agent")
    }
    for pod in pods(values):
        spec = pod["spec"]
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == users[component]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec.get("hostNetwork", False) is (component == "agent")
        assert spec["terminationGracePeriodSeconds"] >= 45
        [container] = spec["containers"]
        for each in (container, *spec.get("initContainers", ())):
            security = each["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"]["drop"] == ["ALL"]
            assert each["resources"]["limits"]["memory"]
        added = container["securityContext"]["capabilities"].get("add", [])
        assert added == (["NET_RAW"] if component == "agent" else [])
        # Otherwise the kernel ignores the file capability of the agent's interpreter.
        allowed = container["securityContext"]["allowPrivilegeEscalation"]
        assert allowed is (component == "agent")
        assert {"readinessProbe", "livenessProbe"} <= container.keys()


def test_one_daemon_set_runs_the_agents_of_a_colo() -> None:
    """On its nodes, with its token; settings of a pool come before those of all."""
    sets = of_kind(USUAL, "DaemonSet")
    for each, pool in zip(sets, POOLS, strict=True):
        spec = each["spec"]["template"]["spec"]
        assert spec["nodeSelector"] == pool["nodeSelector"]
        environment = {
            e["name"]: e.get("value") or e["valueFrom"] for e in spec["containers"][0]["env"]
        }
        key = {"name": "colotrace-join", "key": pool["colo"]}
        assert environment["COLOTRACE_JOIN_TOKEN"] == {"secretKeyRef": key}
        tag = {"den01": "provider=y", "sin01": "provider=x"}[str(pool["colo"])]
        assert environment["COLOTRACE_TAG"] == tag


def test_coordinators_with_a_database_share_it() -> None:
    """And need no volume; each tells agents at the broker its own address."""
    [coordinator] = of_kind(LARGE, "Deployment")
    assert coordinator["spec"]["replicas"] == 3
    assert coordinator["spec"]["strategy"] == {"type": "RollingUpdate"}
    assert of_kind(LARGE, "PersistentVolumeClaim") == []
    [container] = coordinator["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"example.net/coordinator@sha256:{'a' * 64}"
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert environment["COLOTRACE_ADVERTISE"] == "$(POD_IP):8081"
    assert environment["COLOTRACE_NAME"] == (
        "trace.example.net 192.0.2.1 demo-colotrace.trace.svc.cluster.local $(POD_IP)"
    )
    [alone] = of_kind(USUAL, "Deployment")
    assert alone["spec"]["strategy"] == {"type": "Recreate"}


@ALL
def test_settings_are_known(values: dict[str, Any]) -> None:
    """The reference lists every variable."""
    reference = (ROOT / "docs/reference.md").read_text()
    containers = [each for pod in pods(values) for each in pod["spec"]["containers"]]
    for name in (variable["name"] for each in containers for variable in each["env"]):
        assert name == "POD_IP" or f"`{name}`" in reference, name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"coordinator": {"replica": 2}}, "replica"),
        ({"agent": {"pools": [{"colo": "Denver", "city": "x", "nodeSelector": {}}]}}, "colo"),
        ({"agent": {"pools": [{"colo": "den01", "nodeSelector": {"a": "b"}}]}}, "city"),
        ({"coordinator": {"image": {"digest": "latest"}}}, "digest"),
        ({"coordinator": {"settings": {"KEEP_DAYS": "1"}}}, "KEEP_DAYS"),
        ({"coordinator": {"replicas": 2}}, "more than one coordinator need"),
        ({"coordinator": {"database": {"secret": "x"}}}, "coordinator.caSecret.secret"),
    ],
)
def test_values_that_cannot_work_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        rendered(values)
    assert words in str(refused.value)


def test_sample_of_the_documentation_can_be_rendered() -> None:
    text = (ROOT / "docs/containers.md").read_text()
    [sample] = re.findall(r"```text\n(coordinator:\n.*?)```", text, re.DOTALL)
    assert len(of_kind(yaml.safe_load(sample), "DaemonSet")) == 2


def test_notes_tell_how_to_enrol_each_colo() -> None:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(USUAL, name="demo", namespace="trace")
    [notes] = [text for name, text in files.items() if name.endswith("NOTES.txt")]
    for pool in POOLS:
        assert f"--from-literal={pool['colo']}=" in notes
        assert f"agent enroll --colo {pool['colo']} --city '{pool['city']}'" in notes
