"""What packets are routed by beside their address."""

import socket

import numpy as np
from colotrace_agent.network.mmsg import Outgoing


def test_each_packet_of_a_batch_has_its_own_protocol() -> None:
    """One without leaves those of the others as they are."""
    batch = Outgoing(slots=3, size=64, numbered=True, family=socket.AF_INET)
    interfaces = np.array([1, 1, 1], np.int32)
    batch.set_routing(interfaces, np.array([17, 17, 17], np.int32))
    all_routed = batch.lengths_of_control.tolist()
    batch.set_routing(interfaces, np.array([17, 0, 6], np.int32))
    mixed = batch.lengths_of_control.tolist()
    assert (mixed[0], mixed[2]) == (all_routed[0], all_routed[2])
    assert mixed[1] < all_routed[1]
    assert batch.protocols[[0, 2]].tolist() == [17, 6]
