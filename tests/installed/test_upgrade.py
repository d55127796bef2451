"""Upgrades from the previous release, and back: its programs and today's, on the lab."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from fleet import AgentSpec, Broker, Fleet, FleetError
from fleet.enrolled import EnrolledFleet
from fleet.flags import OWN
from fleet.fleet import ACCOUNT, two_coordinators
from fleet.judge import row_faults
from fleet.postgresql import postgresql_server, tool
from fleet.proxy import Proxy, missing
from fleet.steady import Load
from lab import Lab
from needs import need

from installed.previous import Release, commits, installed

COMMITS = commits()
DEN, SPARE, FRA = (
    AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a"),
    AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-b"),
    AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a"),
)

NEWER = "the database is of a newer colotrace than this one"

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


def test_there_is_a_previous_release() -> None:
    """Without the history of the repository, nothing below would be tested."""
    assert COMMITS, "no commit of another version; in a shallow clone: git fetch --unshallow --tags"


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in COMMITS],
)
def previous(request: pytest.FixtureRequest) -> Iterator[Release]:
    with installed(request.param, COMMITS[request.param]) as release:
        yield release


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of an empty database; None for a file."""
    if request.param == "sqlite":
        yield None
    else:
        with postgresql_server() as url:
            yield url


@pytest.fixture
def fleet(lab: Lab, previous: Release, database: str | None, tmp_path: Path) -> Iterator[Fleet]:
    """A coordinator and two agents of the previous release. If it enrols agents, they have done."""
    made, flags = Fleet, ()
    if previous.enrols:
        secret = tmp_path / "ca.secret"
        secret.write_text("0123456789abcdef" * 4)
        secret.chmod(0o600)
        made, flags = EnrolledFleet, ("--ca-secret-file", str(secret))
    with made(
        lab,
        agents=[DEN, FRA],
        database=database,
        coordinator_flags=flags,
        programs=previous.programs,
    ) as running:
        running.wait_attached()
        yield running


def test_upgrade_keeps_the_database_and_agents_and_can_be_undone(
    lab: Lab, previous: Release, fleet: Fleet, tmp_path: Path
) -> None:
    """The coordinator first, then the agents; back in the same order. The coordinator goes back
    with its backup."""
    kept_data = tmp_path / "kept"
    url = fleet.database
    backup = Dump(url, kept_data) if url else Files(fleet.directory, kept_data)
    assert faults(fleet, lab) == []
    kept = measurements(fleet) if previous.keeps else {}
    assert len(kept) == (1 if previous.keeps else 0)
    enrolled = agents(fleet) if previous.enrols else []
    fleet.stop_coordinator()
    backup.save()

    fleet.programs = OWN
    fleet.start_coordinator()
    fleet.wait_attached()
    assert faults(fleet, lab) == []  # by the previous agents
    command(fleet, previous.programs)
    assert differences(kept, measurements(fleet)) == []
    change_agents(fleet, OWN)
    assert faults(fleet, lab) == []
    if previous.enrols:
        assert differences(enrolled, agents(fleet)) == []

    fleet.stop_coordinator()
    fleet.programs = previous.programs
    if schema(previous.programs) != schema(OWN):
        with pytest.raises(FleetError, match=NEWER):
            fleet.start_coordinator()
    backup.put_back()
    fleet.start_coordinator()
    fleet.wait_attached()
    assert faults(fleet, lab) == []  # by today's agents
    command(fleet, OWN)
    change_agents(fleet, previous.programs)
    assert faults(fleet, lab) == []


def test_rolling_upgrade_fails_no_request(lab: Lab, previous: Release) -> None:
    """Coordinators and agents, one after the other, while requests arrive."""
    need(missing())
    agents = [DEN, SPARE, FRA, AgentSpec(FRA.host, FRA.colo, FRA.city, "fra01-b")]
    flags = ("--stop-delay", "5", "--requests-per-5-minutes", "100000")
    with (
        postgresql_server() as database,
        Broker(lab) as broker,
        two_coordinators(
            lab,
            broker,
            agents=agents,
            coordinator_flags=flags,
            database=database,
            programs=previous.programs,
        ) as both,
        Proxy(lab, *(each.url.removeprefix("http://") for each in both)) as proxy,
    ):
        load = Load(lab, proxy.url, both[0].token)
        asyncio.run(_rolling(load, proxy, both))
        answer = httpx.get(f"{both[0].path()}/agents", headers=both[0].headers()).json()
        assert [each["version"] for each in answer["result"]] == [version("colotrace")] * 4
        assert load.faults == []
        assert load.asked > 100


async def _rolling(load: Load, proxy: Proxy, both: list[Fleet]) -> None:
    over = asyncio.Event()
    loading = asyncio.create_task(load.run(over))
    await asyncio.sleep(2)
    one = both[0]
    for each in both:
        await asyncio.to_thread(each.stop_coordinator)
        each.programs = OWN
        await asyncio.to_thread(each.start_coordinator)
        await asyncio.to_thread(proxy.wait_ready, 2)
        await asyncio.sleep(2)
    one.agent_programs = OWN
    for spec in one.specs:
        await asyncio.to_thread(one.stop_agent, spec.agent_id)
        one.start_agent(spec)
        for each in both:
            await asyncio.to_thread(each.wait_attached)
    await asyncio.sleep(2)
    over.set()
    await loading


def change_agents(fleet: Fleet, programs: Path) -> None:
    """Restart each agent with what it has kept, from this folder."""
    for spec in fleet.specs:
        fleet.stop_agent(spec.agent_id)
    fleet.agent_programs = programs
    for spec in fleet.specs:
        fleet.start_agent(spec)
    fleet.wait_attached()


def faults(fleet: Fleet, lab: Lab) -> list[str]:
    """What is wrong with the answer of every colo to one request."""
    answer = fleet.trace({"targets": [lab.address("web")]})
    [target] = answer["result"]
    assert {row["colo"]["name"] for row in target["colos"]} == {"den01", "fra01"}
    return [fault for row in target["colos"] for fault in row_faults(lab, row, target="web")]


def command(fleet: Fleet, programs: Path) -> None:
    """The operator's command of this folder traces from every colo."""
    ca = fleet.directory / "ca.pem"
    settings = {
        "COLOTRACE_URL": fleet.url,
        "COLOTRACE_TOKEN": fleet.token,
        "COLOTRACE_ACCOUNT": ACCOUNT,
        "HOME": str(fleet.directory),
    }
    if isinstance(fleet, EnrolledFleet):
        ca.write_text(fleet.command("ca", "show"))
        settings["COLOTRACE_CA_FILE"] = str(ca)
    argv = [programs / "colotrace", "trace", fleet.lab.address("web")]
    done = fleet.lab.run(None, argv, env=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "den01" in done.stdout
    assert "fra01" in done.stdout


def measurements(fleet: Fleet) -> dict[str, Any]:
    """By id: the measurements that are kept."""
    with httpx.Client(headers=fleet.headers(), verify=fleet.trust) as client:
        listed = client.get(fleet.path()).json()["result"]
        return {
            each["id"]: client.get(f"{fleet.path()}/{each['id']}").json()["result"]
            for each in listed
        }


def agents(fleet: Fleet) -> Any:
    """The enrolled agents, by the operator's command. They renew their certificates when they
    start."""
    listed = json.loads(fleet.command("agent", "list", "--json"))
    return [{key: each[key] for key in each if key != "certificate_ends_at"} for each in listed]


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Where something is missing from `new` or another value; it may hold more."""
    if isinstance(old, dict) and isinstance(new, dict):
        missed = [f"{at}/{key} is missing" for key in old if key not in new]
        return missed + [
            each
            for key in old
            if key in new
            for each in differences(old[key], new[key], f"{at}/{key}")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            each
            for number, pair in enumerate(zip(old, new, strict=True))
            for each in differences(*pair, f"{at}/{number}")
        ]
    return [] if old == new else [f"{at}: {old!r} became {new!r}"]


class Files:
    """Copies of SQLite's files."""

    def __init__(self, data: Path, kept: Path) -> None:
        self._data, self._kept = data, kept

    def save(self) -> None:
        """The coordinator is stopped."""
        self._kept.mkdir()
        for file in self._data.glob("colotrace.sqlite3*"):
            shutil.copy2(file, self._kept)

    def put_back(self) -> None:
        """The coordinator is stopped."""
        for file in self._data.glob("colotrace.sqlite3*"):
            file.unlink()
        for file in self._kept.iterdir():
            shutil.copy2(file, self._data)


class Dump:
    """What pg_dump writes."""

    def __init__(self, url: str, kept: Path) -> None:
        self._url, self._kept = url, kept

    def save(self) -> None:
        """Also while coordinators run."""
        _run(tool("pg_dump"), "-d", self._url, "-f", self._kept)

    def put_back(self) -> None:
        """The coordinator is stopped."""
        psql = (tool("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-d", self._url)
        _run(*psql, "-c", "DROP SCHEMA public CASCADE", "-c", "CREATE SCHEMA public")
        _run(*psql, "-f", self._kept)


def _run(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def schema(programs: Path) -> str:
    """The migrations of the coordinator in this folder."""
    listing = (
        "import os; from colotrace_coordinator.store.migrations import versions; "
        "print(sorted(os.listdir(versions.__path__[0])))"
    )
    return _run(programs / "python", "-c", listing)
