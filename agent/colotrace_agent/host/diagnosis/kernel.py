"""Checks kernel settings below /proc that affect receiving."""

from contextlib import suppress
from pathlib import Path

from colotrace_proto.findings import Finding, ok, warn

from colotrace_agent.model import PORTS
from colotrace_agent.network.sockets import RECEIVE_BUFFER, SEND_BUFFER

_SPAN = f"{PORTS.start}-{PORTS.stop - 1}"
_STRICT = 1


def findings(*, proc: Path) -> list[Finding]:
    """Findings about buffers, ports, reverse path filter, and the host's own ICMP limit."""
    net = proc / "sys/net"
    return [
        _buffer(net, "rmem_max", RECEIVE_BUFFER, "a burst of answers may not fit"),
        _buffer(net, "wmem_max", SEND_BUFFER, "a burst of probes may have to wait"),
        _local_ports(net),
        _ports_in_use(proc),
        _reverse_path(proc),
        _own_limit(net),
    ]


def _buffer(net: Path, name: str, wanted: int, else_: str) -> Finding:
    check = f"net.core.{name}"
    # Some kernels show it only in the initial network namespace.
    granted = _number(net / "core" / name)
    if granted is None:
        return ok(check, "not visible in this network namespace")
    if granted >= wanted:
        return ok(check, f"{granted} bytes")
    return warn(
        check,
        f"{granted} bytes, less than the {wanted} that the agent asks for: {else_}",
        f"sysctl -w {check}={wanted}, and the same line in /etc/sysctl.d",
    )


def _local_ports(net: Path) -> Finding:
    check = "ports that the kernel gives out"
    text = _text(net / "ipv4/ip_local_port_range").split()
    if len(text) != 2:
        return ok(check, "not visible in this network namespace")
    low, high = map(int, text)
    if low >= PORTS.stop or high < PORTS.start or _reserved(net):
        return ok(check, f"{low}-{high}, none of the agent's {_SPAN}")
    return warn(
        check,
        f"{low}-{high} overlap the agent's {_SPAN}: other connections may take these ports, and "
        "the agent then reads their packets, too",
        f"sysctl -w net.ipv4.ip_local_reserved_ports={_SPAN}",
    )


def _reserved(net: Path) -> bool:
    spans = _text(net / "ipv4/ip_local_reserved_ports").replace("\n", "").split(",")
    for span in spans:
        low, _, high = span.partition("-")
        if low and int(low) <= PORTS.start and int(high or low) >= PORTS.stop - 1:
            return True
    return False


def _ports_in_use(proc: Path) -> Finding:
    check = "services at the agent's ports"
    ports = set()
    for table, states in (("tcp", {"0A"}), ("tcp6", {"0A"}), ("udp", None), ("udp6", None)):
        lines = _text(proc / "net" / table).splitlines()[1:]
        for words in filter(None, map(str.split, lines)):
            port = int(words[1].rpartition(":")[2], 16)
            if port in PORTS and (states is None or words[3] in states):
                ports.add(port)
    if not ports:
        return ok(check, "none")
    listed = ", ".join(map(str, sorted(ports)[:10]))
    return warn(
        check,
        f"in use: {listed}; traces do not use these ports (a running agent also holds some)",
        f"move the service away from {_SPAN}",
    )


def _reverse_path(proc: Path) -> Finding:
    check = "reverse path filter"
    conf = proc / "sys/net/ipv4/conf"
    overall = _number(conf / "all/rp_filter") or 0
    strict = []
    with suppress(OSError):
        for entry in sorted(conf.iterdir()):
            # The maximum of the two applies (ip-sysctl); 2 is loose.
            own = max(overall, _number(entry / "rp_filter") or 0)
            if entry.name not in ("all", "default", "lo") and own == _STRICT:
                strict.append(entry.name)
    ways = _default_routes(proc)
    if not strict or ways < 2:
        return ok(check, "strict, with one default route" if strict else "not strict")
    return warn(
        check,
        f"strict on {', '.join(strict)} with {ways} default routes: an answer is dropped if it "
        "arrives on another interface than the route to its sender uses",
        "sysctl -w net.ipv4.conf.all.rp_filter=2",
    )


def _default_routes(proc: Path) -> int:
    lines = [line.split() for line in _text(proc / "net/route").splitlines()[1:]]
    return sum(words[1] == words[7] == "00000000" for words in lines if len(words) > 7)


def _own_limit(net: Path) -> Finding:
    limit = _number(net / "ipv4/icmp_ratelimit")
    rate = "none" if not limit else f"one error every {limit} ms to one host"
    return ok("this host's own ICMP limit", f"{rate}; affects only traces to this host")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None
