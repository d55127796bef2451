"""A user-space network that is never the limit: C behind a TUN device, with a record of each probe.

    with Responder(Network(distance=14, delay_ns=1_000_000), records=100_000) as network:
        network.run(["traceroute", "-n", network.target])
        network.records()["read_mono"]

    answer.c      bytes in, bytes out: what routers and a target say
    main.c        the device, the clock, the loop; agenda.h holds the replies that wait
    record.h      what is written down of each probe, and record.py the same layout here
    blast.c       sends probes as fast as it can: `python -m bench.responder` tells how fast that is
    build.py      compiled at first use
    responder.py  the process and its network namespace

For what a network does beyond that (loss, limits, forgeries) there are the tests' scenarios.
"""

from bench.responder.build import missing
from bench.responder.record import Fate, Tally
from bench.responder.responder import Network, Responder

__all__ = ["Fate", "Network", "Responder", "Tally", "missing"]
