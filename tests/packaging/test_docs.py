"""The documents match the files, settings and metrics."""

import re
from pathlib import Path

import pytest
import yaml
from colotrace_cli.main import app
from colotrace_coordinator.api.metrics import HttpMetrics
from colotrace_coordinator.metrics import BrokerMetrics, Metrics, RelayMetrics
from fleet.samples import LANGUAGES, samples
from prometheus_client import CollectorRegistry
from typer.main import get_command
from typer.testing import CliRunner

from .programs import AGENT, COORDINATOR, TRACE, known

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MOST_BYTES = 120_000
"""A picture of the documentation."""
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_have_targets(page):
    """Each relative link is to a file, and its anchor to a heading of that file."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        led = (page.parent / name) if name else page
        assert led.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", led.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, target


def test_pictures_are_small_and_all_are_shown():
    """`make pictures` makes them. Each picture has an alternative text."""
    shown = {}
    for page in PAGES:
        for words, name in re.findall(r"!\[([^\]]*)\]\(([^)]*pictures/[^)]+)\)", page.read_text()):
            shown[(page.parent / name).resolve()] = words
    made = sorted((ROOT / "docs" / "pictures").iterdir())
    assert sorted(shown) == made
    assert all(shown.values())
    assert [each.name for each in made if each.stat().st_size > MOST_BYTES] == []


def section(title):
    """The text below a heading of the reference, up to the next heading."""
    _, _, rest = REFERENCE.partition(f"\n### {title}\n")
    assert rest
    return re.split(r"\n##", rest)[0]


@pytest.mark.parametrize(
    ("title", "program"),
    [
        ("colotrace-agent run", AGENT),
        ("colotrace-agent trace", TRACE),
        ("colotrace-coordinator serve", COORDINATOR),
    ],
)
def test_every_setting_is_listed_once(title, program):
    """The table of a program's settings and its --help name the same variables."""
    listed = re.findall(r"`(COLOTRACE_[A-Z0-9_]+)`", section(title))
    assert sorted(listed) == sorted(known(*program))


def test_every_setting_of_the_command_is_listed():
    """For the operator's command, whatever it is told to do."""
    names = set()
    commands = [
        [name, *below]
        for name, command in get_command(app).commands.items()
        for below in ([], *([each] for each in getattr(command, "commands", ())))
    ]
    for words in commands:
        told = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"}).stdout
        names |= set(re.findall(r"COLOTRACE_[A-Z0-9_]+", told))
    assert set(re.findall(r"`(COLOTRACE_[A-Z0-9_]+)`", section("colotrace"))) == names


def test_every_metric_is_listed():
    """The table of metrics has the coordinator's metrics, with their names in Prometheus."""
    registry = CollectorRegistry()
    Metrics(registry)
    BrokerMetrics(registry)
    RelayMetrics(registry)
    HttpMetrics(registry)
    there = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
    }
    _, _, table = REFERENCE.partition("\n## Metrics\n")
    listed = set(re.findall(r"^\| `(colotrace_\w+)`", table, re.MULTILINE))
    assert listed == there


def test_alert_rules_use_metrics_that_exist():
    """Names as in the table of metrics; a histogram has buckets."""
    rules = (ROOT / "deploy/prometheus/colotrace.rules.yaml").read_text()
    used = {name.removesuffix("_bucket") for name in re.findall(r"colotrace_[a-z_]+", rules)}
    listed = set(re.findall(r"^\| `(colotrace_\w+)`", REFERENCE, re.MULTILINE))
    assert used <= listed
    for group in yaml.safe_load(rules)["groups"]:
        for rule in group["rules"]:
            assert {"alert", "expr", "labels", "annotations"} <= rule.keys()


def test_every_alert_has_its_remedy():
    """The table of alerts in the operations, and the rules, name the same alerts."""
    rules = (ROOT / "deploy/prometheus/colotrace.rules.yaml").read_text()
    _, _, rest = (ROOT / "docs" / "operations.md").read_text().partition("\n## Alerts\n")
    table = re.split(r"\n## ", rest)[0]
    there = re.findall(r"alert: (\w+)", rules)
    assert sorted(re.findall(r"\bColotrace\w+", table)) == sorted(there)


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.where)
def test_every_sample_has_a_known_language(sample):
    """`tests/e2e/test_samples.py` runs it by its language; samples that cannot run are `text`."""
    assert sample.language in LANGUAGES


def test_all_samples_are_found():
    """Otherwise the tests of samples would test nothing."""
    assert {each.language for each in samples()} == set(LANGUAGES)
