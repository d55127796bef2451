"""The options of the gRPC server, with what gRPC does not document about them."""

from colotrace_coordinator.fleet.link import MAX_FRAME_BYTES

MAX_STREAMS_OF_ONE = 1_000
"""Attached streams of one certificate, or of one address without certificates."""
HANDSHAKE_MS = 10_000
"""Timeout of the TLS handshake and of the HTTP/2 preface."""
IDLE_MS = 30_000
"""Idle timeout of a connection without a stream."""
PING_TIMEOUT_MS = 4_500
"""How long the answer to a keepalive ping may take. gRPC waits `ping_timeout_ms`, by default a
minute, whatever `keepalive_timeout_ms` is."""
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_FRAME_BYTES),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    ("grpc.max_connection_idle_ms", IDLE_MS),
    # An agent needs one stream; agents in one process share a connection.
    ("grpc.max_concurrent_streams", MAX_STREAMS_OF_ONE),
    # HTTP/2 pings detect a vanished host within 15 s; heartbeats are rare. Agents ping earlier, and
    # what arrives from an agent postpones the ping to it: one ping serves both sides.
    ("grpc.keepalive_time_ms", 9_500),
    ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # The buffer of each TLS connection for a record that is sent; 16 KiB by default.
    ("grpc.tsi.max_frame_size", 4_096),
    # If on, each message from an agent causes a ping, to estimate the bandwidth.
    ("grpc.http2.bdp_probe", 0),
    # Instead: what an agent may send before it is read. Enough for 1 MB/s over 250 ms.
    ("grpc.http2.lookahead_bytes", 262_144),
    # Else two coordinators could share the port, and each would get half of the agents.
    ("grpc.so_reuseport", 0),
)
