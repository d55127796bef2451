"""Requests to the kernel."""

from colotrace_agent.network.rtnetlink import GET_ROUTE, Kernel, Route, route_question


def test_sequence_numbers_stay_within_32_bits() -> None:
    """An agent that runs for years sends more requests than that."""
    question = route_question(bytes([127, 0, 0, 1]))
    with Kernel() as kernel:
        kernel.sequence = 0xFFFF_FFFE
        routes = {Route.of(kernel.ask(GET_ROUTE, question)) for _ in range(3)}
        assert kernel.sequence == 1
    assert len(routes) == 1
