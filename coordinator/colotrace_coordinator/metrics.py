"""Prometheus metrics of jobs, agents and look-ups.

A series exists, with 0, before its first event: `increase()` does not see a series that starts at
1, and an alert on a colo without agents needs a series of that colo.
"""

import math

from colotrace_proto.codes import RowCode
from colotrace_proto.deadlines import ANSWER_S
from colotrace_proto.messages import ColoName, Counters
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_DURATIONS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 18.0, ANSWER_S)
_LAGS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

JOB_CODES = ("0", *map(str, RowCode), "cancelled")
WAITED_FOR = ("coordinator", "colo", "target")
"""What a job waits for before it starts: the values of `jobs.starts.Gate`."""
REJECTIONS = ("superseded", "full", "unfit")
"""Why an agent cannot attach: the values of `fleet.link.Rejection`."""
RELAY_DROPS = ("rate", "measurements", "size", "kind", "lost")
"""What is not relayed between coordinators: questions that come too fast, more measurements than
are followed, one whose events are too large, events of a later version's kind; and messages that
were lost."""
STATES = ("up", "draining")
KINDS = Counters.__struct_fields__


class Metrics:
    """The metrics, in the given Prometheus registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.agents = Gauge(
            "colotrace_agents", "Attached agents", ["colo", "state"], registry=registry
        )
        self.agent_losses = Counter(
            "colotrace_agent_losses",
            "Agents that detached or were lost",
            ["colo"],
            registry=registry,
        )
        self.agents_not_admitted = Counter(
            "colotrace_agents_not_admitted",
            "Attempts to attach that were refused",
            ["reason"],
            registry=registry,
        )
        for reason in REJECTIONS:
            self.agents_not_admitted.labels(reason=reason)
        self.loop_lag = Histogram(
            "colotrace_loop_lag_seconds",
            "Lateness of a timer of the event loop, sampled 20 times a second",
            buckets=_LAGS_S,
            registry=registry,
        )
        self.jobs_running = Gauge(
            "colotrace_jobs_running", "Jobs that have started and not ended", registry=registry
        )
        self.offers_unanswered = Gauge(
            "colotrace_offers_unanswered",
            "Offers of jobs that the agents have not answered",
            registry=registry,
        )
        self.offers_window = Gauge(
            "colotrace_offers_window",
            "Offers that may be unanswered at once; shrinks while the agents' answers are late",
            registry=registry,
        )
        self.work_waiting = Gauge(
            "colotrace_work_waiting",
            "Pieces of work that wait for a turn of the event loop: messages of agents, starts of "
            "jobs, parts of large answers",
            registry=registry,
        )
        self.jobs_waiting = Gauge(
            "colotrace_jobs_waiting",
            "Jobs that have not started, by what they wait for: room in the coordinator's window, "
            "at the agents of the colo, or in the limit of packets to the target",
            ["waits_for"],
            registry=registry,
        )
        self.jobs_not_started = Counter(
            "colotrace_jobs_not_started",
            "Jobs whose turn did not come in time, by what they waited for: the coordinator, the "
            "agents of the colo, or the limit of packets to the target",
            ["waited_for"],
            registry=registry,
        )
        self.jobs_overloaded = Counter(
            "colotrace_jobs_overloaded",
            "Jobs that failed because this coordinator was overloaded: their turn did not come in "
            "time, or came so late that the agent could not finish",
            registry=registry,
        )
        self.jobs_limited = Counter(
            "colotrace_jobs_limited",
            "Jobs whose start the limit of packets to their target delayed",
            registry=registry,
        )
        self.jobs = Counter(
            "colotrace_jobs",
            "Jobs ended, by the answer's error code (0: traced) or cancelled",
            ["code"],
            registry=registry,
        )
        self.job_seconds = Histogram(
            "colotrace_job_seconds",
            "Duration of a job",
            buckets=_DURATIONS_S,
            registry=registry,
        )
        self.jobs_moved = Counter(
            "colotrace_jobs_moved", "Offers of a job after its first", registry=registry
        )
        self.jobs_shared = Counter(
            "colotrace_jobs_shared", "Callers that joined an identical job", registry=registry
        )
        self.packets = Counter(
            "colotrace_agent_packets",
            "Packets counted by the agents, by kind",
            ["colo", "kind"],
            registry=registry,
        )
        self.frames = Counter("colotrace_frames", "Frames received from agents", registry=registry)
        self.answer_seconds = Histogram(
            "colotrace_answer_seconds",
            "Duration of a request, from its jobs to its answer",
            buckets=_DURATIONS_S,
            registry=registry,
        )
        self.asn_db_built = Gauge(
            "colotrace_asn_db_built_timestamp_seconds",
            "Build time of the ASN file in use, from its metadata; 0 without a file",
            registry=registry,
        )
        self.asn_db_failures = Counter(
            "colotrace_asn_db_failures",
            "ASN files that were corrupt or unreadable",
            registry=registry,
        )
        self.asn_lookup_failures = Counter(
            "colotrace_asn_lookup_failures",
            "Addresses whose record in the ASN file was corrupt",
            registry=registry,
        )
        self.database_full = Gauge(
            "colotrace_database_full",
            "1 while the disk of the SQLite database has no space left",
            registry=registry,
        )
        self.names = Counter(
            "colotrace_names",
            "Host names looked up, by source of the result",
            ["source"],
            registry=registry,
        )
        self.stream_messages_waiting = Gauge(
            "colotrace_stream_messages_waiting",
            "Messages in the send queues of all agents' streams",
            registry=registry,
        )
        self.streams_blocked = Gauge(
            "colotrace_streams_blocked",
            "Streams of agents that have taken nothing for a second although messages wait",
            registry=registry,
        )
        self.agent_certificate_end = Gauge(
            "colotrace_agent_certificate_end_timestamp_seconds",
            "When the first certificate of an attached agent ends; NaN without certificates",
            registry=registry,
        )
        self.own_certificate_end = Gauge(
            "colotrace_own_certificate_end_timestamp_seconds",
            "When the certificate ends that the coordinator has issued to itself; NaN without",
            registry=registry,
        )
        self.authority_end = Gauge(
            "colotrace_authority_end_timestamp_seconds",
            "When the certificate of the coordinator's CA ends; NaN without",
            registry=registry,
        )
        for gauge in (self.own_certificate_end, self.authority_end):
            gauge.set(math.nan)
        self.join_token_uses_left = Gauge(
            "colotrace_join_token_uses_left",
            "Hosts that can still enrol with a valid join token for several hosts",
            ["token", "colo"],
            registry=registry,
        )
        self.join_token_end = Gauge(
            "colotrace_join_token_end_timestamp_seconds",
            "When a valid join token for several hosts expires, if hosts can still enrol with it",
            ["token", "colo"],
            registry=registry,
        )
        self.agent_versions = Gauge(
            "colotrace_agent_versions",
            "Attached agents by the version that they tell, and whether it is older than the "
            "coordinator's",
            ["version", "behind"],
            registry=registry,
        )
        self.names_waiting = Gauge(
            "colotrace_names_waiting", "Names being looked up, or queued for it", registry=registry
        )
        self.audit_waiting = Gauge(
            "colotrace_audit_waiting",
            "Audit entries that wait to be written to the database",
            registry=registry,
        )
        self.audit_dropped = Gauge(
            "colotrace_audit_dropped",
            "Audit entries dropped since the start because the queue was full",
            registry=registry,
        )
        self.history_waiting = Gauge(
            "colotrace_history_waiting",
            "Rows and measurements that wait to be written to the history",
            registry=registry,
        )
        self.history_dropped = Gauge(
            "colotrace_history_dropped",
            "Rows dropped since the start because too many waited for the history",
            registry=registry,
        )
        self.history_written = Gauge(
            "colotrace_history_written",
            "Rows written to the history since the start",
            registry=registry,
        )
        self.history_failures = Gauge(
            "colotrace_history_failures",
            "Attempts to write or trim the history that failed since the start",
            registry=registry,
        )
        self.history_damaged = Gauge(
            "colotrace_history_damaged",
            "Measurements of the history that were found damaged since the start",
            registry=registry,
        )
        self.history_trimmed = Gauge(
            "colotrace_history_trimmed",
            "Measurements deleted since the start because of their age or the history's size",
            registry=registry,
        )
        self.history_bytes = Gauge(
            "colotrace_history_bytes",
            "Bytes that count for --keep-bytes: those in use in SQLite's file, or about those of "
            "the measurements in PostgreSQL",
            registry=registry,
        )
        for gate in WAITED_FOR:
            self.jobs_not_started.labels(waited_for=gate)
        self.jobs_ended = {code: self.jobs.labels(code=code) for code in JOB_CODES}
        """The series of `jobs` by code: `labels` is slow."""

    def know_colo(self, colo: ColoName) -> None:
        """Create the colo's series if they do not exist."""
        self.agent_losses.labels(colo=colo)
        for state in STATES:
            self.agents.labels(colo=colo, state=state)
        for kind in KINDS:
            self.packets.labels(colo=colo, kind=kind)

    def forget_colo(self, colo: ColoName) -> None:
        """Delete the series of a colo that is no longer known."""
        self.agent_losses.remove(colo)
        for state in STATES:
            self.agents.remove(colo, state)
        for kind in KINDS:
            self.packets.remove(colo, kind)


class BrokerMetrics:
    """Metrics of a coordinator that uses an MQTT broker; others do not have them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "colotrace_broker_up", "1 while the MQTT broker is reachable", registry=registry
        )
        self.invalid_messages = Counter(
            "colotrace_broker_invalid_messages",
            "Messages of agents or coordinators that are not valid",
            registry=registry,
        )
        self.coordinators = Gauge(
            "colotrace_coordinators",
            "Coordinators that count limits together, with this one",
            registry=registry,
        )


class RelayMetrics:
    """Metrics of measurements that other coordinators run or follow; only with an MQTT broker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.followed = Gauge(
            "colotrace_measurements_followed",
            "Measurements of other coordinators that are followed here",
            registry=registry,
        )
        self.served = Gauge(
            "colotrace_measurements_served",
            "Measurements of this coordinator that others follow, counted for each of them",
            registry=registry,
        )
        self.dropped = Counter(
            "colotrace_relay_dropped",
            "Questions and messages between coordinators that were refused or lost, by the reason",
            ["reason"],
            registry=registry,
        )
        for reason in RELAY_DROPS:
            self.dropped.labels(reason=reason)
