"""Accuracy of reported RTTs: `python -m bench.accuracy`.

The RTT of every reply, as reported by colotrace and other tools, is compared with the responder's
record of the probe. The error is the reported RTT minus the time from the responder's read of the
probe to its write of the reply.

    contenders.py   the tools and their command lines
    readers.py      parsers of their output
    engine.py       colotrace's prober, through `inside_prober.py` in the responder's namespace
    stamps.py       kernel time stamps alone, through `inside_stamps.py`: the limit of the method
    join.py         matches records to reported RTTs
    conditions.py   idle or busy, one probe at a time or a whole trace; the required accuracy
    errors.py       samples and their statistics
    report.py       the tables; accuracy.json, accuracy.md and docs/accuracy.md
"""
