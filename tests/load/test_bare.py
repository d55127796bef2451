"""The cost of gRPC alone, which `load.bare` measures."""

from load.bare import measure


def test_a_connection_by_tls_costs_more_than_one_without() -> None:
    """In memory, above all: its buffers. Each of 100 connections is one of its own."""
    plain, tls = measure(100, tls=False), measure(100, tls=True)
    assert 10 < plain.memory_kb < tls.memory_kb
    assert plain.server_ms > 0
    assert plain.client_ms > 0
