"""The HTTP side's numbers for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 18.0, 25.0)

_MEASURED = (200, 400, 401, 403, 404, 408, 413, 415, 429, 499, 500, 503, 504)
# Series that begin at 0: `increase()` does not see the step of one that is born at 1.
_KNOWN = {
    ("traceroute", "POST"): _MEASURED,
    ("colos", "GET"): _MEASURED,
    ("ready", "GET"): (200, 503),
}


class HttpMetrics:
    """Requests and their time, by route and status; in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "colotrace_http_requests",
            "Requests answered; status 499 where the client went away first",
            ["route", "method", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "colotrace_http_request_seconds",
            "From a request's head to its answer's last byte",
            ["route"],
            buckets=_DURATIONS_S,
            registry=registry,
        )
        self.in_flight = Gauge(
            "colotrace_http_requests_in_flight", "Requests being answered", registry=registry
        )
        for (route, method), statuses in _KNOWN.items():
            self.seconds.labels(route)
            for status in statuses:
                self.requests.labels(route, method, str(status))
