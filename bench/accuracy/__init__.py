"""How right the reported round trips are: `python -m bench.accuracy`.

Every reply's RTT, as colotrace and other tools report it, is held against the responder's own
record of the same probe: the error is what was reported, less the time from its reading the probe
to its writing the reply.

    contenders.py   the tools, and how each is asked
    readers.py      what each prints of each probe
    engine.py       colotrace's own prober, through `inside_prober.py` in the responder's namespace
    stamps.py       the kernel's stamps alone, through `inside_stamps.py`: the method's floor
    join.py         which record is of which reported RTT
    conditions.py   idle or busy, one at a time or a whole trace at once; what is to be reached
    errors.py       samples, and what is said of them
    report.py       the tables; accuracy.json, accuracy.md and docs/accuracy.md
"""
