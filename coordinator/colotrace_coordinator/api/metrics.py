"""Prometheus metrics of the HTTP API."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 18.0, 25.0)

_MEASURED = (200, 202, 400, 401, 403, 404, 408, 413, 415, 429, 499, 500, 503, 504)
_READ = (200, 304, 400, 401, 403, 404, 429, 499, 500, 503)
# These series start at 0: `increase()` misses the first event of a series that starts at 1.
_KNOWN = {
    ("traceroute", "POST"): _MEASURED,
    ("traceroute", "GET"): _READ,
    ("measurement", "GET"): _READ,
    ("measurement", "DELETE"): _READ,
    ("events", "GET"): (*_READ, 204),
    **dict.fromkeys((("colos", "GET"), ("agents", "GET"), ("rows", "GET")), _READ),
    **dict.fromkeys((("diff", "GET"), ("graph", "GET")), _READ),
    ("ready", "GET"): (200, 503),
}
STREAMS = ("events", "rows")


class HttpMetrics:
    """Requests and their duration, by route and status; open streams."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "colotrace_http_requests",
            "Requests answered; status 499: the client disconnected first",
            ["route", "method", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "colotrace_http_request_seconds",
            "Time from the request's head to the last byte of the answer",
            ["route"],
            buckets=_DURATIONS_S,
            registry=registry,
        )
        self.in_flight = Gauge(
            "colotrace_http_requests_in_flight", "Requests being answered", registry=registry
        )
        self.watchers = Gauge(
            "colotrace_http_watchers",
            "Open streams: of events, or of rows",
            ["stream"],
            registry=registry,
        )
        self.watchers_skipped = Counter(
            "colotrace_http_watchers_skipped",
            "Times that a client read its events too slowly and skipped to the newest state",
            registry=registry,
        )
        for stream in STREAMS:
            self.watchers.labels(stream)
        for (route, method), statuses in _KNOWN.items():
            self.seconds.labels(route)
            for status in statuses:
                self.requests.labels(route, method, str(status))
