"""A fast simulated network: a C program behind a TUN device, with a record of each probe.

    with Responder(Network(distance=14, delay_ns=1_000_000), records=100_000) as network:
        network.run(["traceroute", "-n", network.target])
        network.records()["read_mono"]

    answer.c      the answers of routers and target: bytes in, bytes out
    main.c        the device, the clock, the loop; agenda.h is the queue of delayed replies
    record.h      the record of a probe; record.py has the same layout
    blast.c       sends probes at full speed, for `python -m bench.responder`
    build.py      compiles at first use
    responder.py  the process and its network namespace

Other behaviour of networks (loss, rate limits, forged packets) is simulated in tests/scenario.
"""

from bench.responder.build import missing
from bench.responder.record import Fate, Tally
from bench.responder.responder import Network, Responder

__all__ = ["Fate", "Network", "Responder", "Tally", "missing"]
