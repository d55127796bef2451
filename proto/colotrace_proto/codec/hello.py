"""What both sides say of themselves: Hello, Welcome, Heartbeat."""

from colotrace_proto import messages as m
from colotrace_proto.identifiers import is_colo_name, is_identifier
from colotrace_proto.locations import Location
from colotrace_proto.tags import MAX_TAGS, Tag
from colotrace_proto.text import safe
from colotrace_proto.v1 import fleet_pb2 as pb

from .checks import PACKET_TYPES, PACKET_TYPES_IN, ProtocolError, families_in, fields_of
from .jobs import ack_in, ack_out

_MAX_PACKET_TYPES = 64
_MAX_CITY = 128
_MAX_VERSION = 64
_COUNTERS = m.Counters.__struct_fields__


def hello_out(hello: m.Hello) -> pb.Hello:
    types = [PACKET_TYPES[kind] for kind in sorted(hello.packet_types)]
    families, tags = sorted(hello.families), dict(sorted(hello.tags))
    location = None if hello.location is None else pb.Location(**hello.location._asdict())
    return pb.Hello(
        **fields_of(hello, families=families, packet_types=types, tags=tags, location=location)
    )


def hello_in(hello: pb.Hello) -> m.Hello:
    if not is_identifier(hello.agent_id):
        raise ProtocolError("Hello.agent_id is not 1 to 64 of [A-Za-z0-9._-]")
    if not is_colo_name(hello.colo):
        raise ProtocolError("Hello.colo is not letters and a number, like den01")
    if len(hello.boot_id) != 16:
        raise ProtocolError("Hello.boot_id is not 16 bytes")
    if hello.protocol_version < 1:
        raise ProtocolError("Hello.protocol_version is missing")
    if len(hello.held_jobs) > m.MAX_HELD_JOBS:
        raise ProtocolError("Hello.held_jobs is too long")
    if len(hello.packet_types) > _MAX_PACKET_TYPES:
        raise ProtocolError("Hello names too many packet types")
    if len(hello.tags) > MAX_TAGS:
        raise ProtocolError("Hello has too many tags")
    tags = frozenset(map(Tag._make, hello.tags.items()))
    if not all(tag.valid for tag in tags):
        raise ProtocolError("Hello has a malformed tag")
    return m.Hello(
        agent_id=m.AgentId(hello.agent_id),
        boot_id=hello.boot_id,
        colo=m.ColoName(hello.colo),
        city=safe(hello.city, most=_MAX_CITY),
        families=families_in(hello.families, "Hello"),
        packet_types=frozenset(
            PACKET_TYPES_IN[n] for n in hello.packet_types if n in PACKET_TYPES_IN
        ),
        software_version=safe(hello.software_version, most=_MAX_VERSION),
        max_jobs=hello.max_jobs,
        # Only compared with the receiver's own ids, so the ids are not checked one by one.
        held_jobs=tuple(m.JobId(job) for job in hello.held_jobs),
        protocol_version=hello.protocol_version,
        tags=tags,
        location=_location_in(hello),
        host=safe(hello.host, most=m.MAX_HOST),
    )


def _location_in(hello: pb.Hello) -> Location | None:
    if not hello.HasField("location"):
        return None
    location = Location(hello.location.latitude, hello.location.longitude)
    if location.fault:
        raise ProtocolError(f"Hello.location: {location.fault}")
    return location


def welcome_out(welcome: m.Welcome) -> pb.Welcome:
    return pb.Welcome(**fields_of(welcome, wanted_jobs=map(ack_out, welcome.wanted_jobs)))


def welcome_in(welcome: pb.Welcome) -> m.Welcome:
    if len(welcome.coordinator_id) != 16:
        raise ProtocolError("Welcome.coordinator_id is not 16 bytes")
    if not 100 <= welcome.heartbeat_ms <= 600_000:
        raise ProtocolError("Welcome.heartbeat_ms is not within 100 to 600,000")
    if len(welcome.wanted_jobs) > m.MAX_HELD_JOBS:
        raise ProtocolError("Welcome.wanted_jobs is too long")
    return m.Welcome(
        coordinator_id=welcome.coordinator_id,
        heartbeat_ms=welcome.heartbeat_ms,
        wanted_jobs=tuple(ack_in(ack) for ack in welcome.wanted_jobs),
        protocol_version=welcome.protocol_version,
    )


def heartbeat_out(heartbeat: m.Heartbeat) -> pb.Heartbeat:
    usage = None if heartbeat.usage is None else pb.Usage(**fields_of(heartbeat.usage))
    counters = pb.Counters(**fields_of(heartbeat.counters))
    return pb.Heartbeat(**fields_of(heartbeat, counters=counters, usage=usage))


def heartbeat_in(heartbeat: pb.Heartbeat) -> m.Heartbeat:
    counters = {name: getattr(heartbeat.counters, name) for name in _COUNTERS}
    return m.Heartbeat(heartbeat.running_jobs, m.Counters(**counters), _usage_in(heartbeat))


def _usage_in(heartbeat: pb.Heartbeat) -> m.Usage | None:
    if not heartbeat.HasField("usage"):
        return None
    cpu_millis, memory_bytes = heartbeat.usage.cpu_millis, heartbeat.usage.memory_bytes
    if cpu_millis > m.MAX_CPU_MILLIS or memory_bytes > m.MAX_MEMORY_BYTES:
        raise ProtocolError("Heartbeat.usage is out of bounds")
    return m.Usage(cpu_millis, memory_bytes)


def capabilities_out(capabilities: m.Capabilities) -> pb.Capabilities:
    return pb.Capabilities(**fields_of(capabilities, families=sorted(capabilities.families)))


def capabilities_in(capabilities: pb.Capabilities) -> m.Capabilities:
    return m.Capabilities(families_in(capabilities.families, "Capabilities"))
