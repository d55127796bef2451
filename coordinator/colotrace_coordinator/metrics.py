"""The fan-out's numbers for Prometheus.

A series exists, with 0, before its first event: `increase()` does not see the step of a series that
is born at 1, and an alert on a colo without agents needs a series of that colo.
"""

from dataclasses import fields

from colotrace_proto.codes import RowCode
from colotrace_proto.messages import ColoName, Counters
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_DURATIONS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 18.0, 25.0)


JOB_CODES = ("0", *map(str, RowCode), "cancelled")
STATES = ("up", "draining")
KINDS = tuple(field.name for field in fields(Counters))


class Metrics:
    """All counters of the fan-out and of names, in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.agents = Gauge(
            "colotrace_agents", "Agents attached", ["colo", "state"], registry=registry
        )
        self.agent_losses = Counter(
            "colotrace_agent_losses", "Attachments that ended", ["colo"], registry=registry
        )
        self.jobs_running = Gauge("colotrace_jobs_running", "Jobs not yet ended", registry=registry)
        self.jobs = Counter(
            "colotrace_jobs",
            "Jobs ended, by the answer's error code (0: traced) or cancelled",
            ["code"],
            registry=registry,
        )
        self.job_seconds = Histogram(
            "colotrace_job_seconds",
            "From a job's begin to its end",
            buckets=_DURATIONS_S,
            registry=registry,
        )
        self.jobs_moved = Counter(
            "colotrace_jobs_moved", "Jobs offered to a further agent", registry=registry
        )
        self.jobs_shared = Counter(
            "colotrace_jobs_shared", "Callers who joined an identical job", registry=registry
        )
        self.packets = Counter(
            "colotrace_agent_packets",
            "Packets that agents counted, by what became of them",
            ["colo", "kind"],
            registry=registry,
        )
        self.frames = Counter("colotrace_frames", "Frames taken from agents", registry=registry)
        self.answer_seconds = Histogram(
            "colotrace_answer_seconds",
            "From a request to its answer",
            buckets=_DURATIONS_S,
            registry=registry,
        )
        self.asn_db_built = Gauge(
            "colotrace_asn_db_built_timestamp_seconds",
            "When the ASN file in use was built, as it says; 0 without one",
            registry=registry,
        )
        self.asn_db_failures = Counter(
            "colotrace_asn_db_failures",
            "ASN files that were damaged or could not be read",
            registry=registry,
        )
        self.asn_lookup_failures = Counter(
            "colotrace_asn_lookup_failures",
            "Addresses whose record in the ASN file was damaged",
            registry=registry,
        )
        self.database_full = Gauge(
            "colotrace_database_full",
            "1 while the disk of the SQLite database has no space left",
            registry=registry,
        )
        self.names = Counter(
            "colotrace_names",
            "Names asked for, by where the result came from",
            ["source"],
            registry=registry,
        )
        for code in JOB_CODES:
            self.jobs.labels(code=code)

    def know_colo(self, colo: ColoName) -> None:
        """Begin the colo's series, where they have not begun."""
        self.agent_losses.labels(colo=colo)
        for state in STATES:
            self.agents.labels(colo=colo, state=state)
        for kind in KINDS:
            self.packets.labels(colo=colo, kind=kind)

    def forget_colo(self, colo: ColoName) -> None:
        """End the series of a colo that is no longer known."""
        self.agent_losses.remove(colo)
        for state in STATES:
            self.agents.remove(colo, state)
        for kind in KINDS:
            self.packets.remove(colo, kind)


class BrokerMetrics:
    """The numbers of a coordinator that meets its agents at a broker; others have none of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "colotrace_broker_up", "Whether the MQTT broker is in reach", registry=registry
        )
        self.rubbish = Counter(
            "colotrace_broker_rubbish",
            "Messages on agents' topics that are no agent's presence",
            registry=registry,
        )
