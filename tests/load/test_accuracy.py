"""The accuracy report's bookkeeping: what tools print, and which record belongs to it."""

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import IPv6

from bench.accuracy import readers
from bench.accuracy.errors import Errors, quantile
from bench.accuracy.join import Reported, by_sequence, by_ttl, join, of_trace
from bench.responder.record import RECORD

PING = """\
PING 203.0.113.9 (203.0.113.9) 56(84) bytes of data.
64 bytes from 203.0.113.9: icmp_seq=1 ttl=49 time=0.930 ms
64 bytes from 203.0.113.9: icmp_seq=3 ttl=49 time=1.05 ms
rtt min/avg/max/mdev = 0.908/0.914/0.930/0.009 ms
"""
TRACEROUTE = """\
traceroute to 203.0.113.9 (203.0.113.9), 16 hops max, 60 byte packets
 1  198.18.1.1  0.907 ms * 0.909 ms
 2  * * *
16  203.0.113.9  0.905 ms  0.932 ms
"""
MTR = "x 0 33000\nh 0 198.18.1.1\np 0 953 33000\nx 1 33001\n"
SCAMPER = """\
{"type":"cycle-start", "id":0}
{"type":"trace", "hops":[{"probe_ttl":1, "probe_id":1, "rtt":0.927},
 {"probe_ttl":1, "probe_id":3, "rtt":0.9}]}
""".replace(",\n ", ", ")


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (readers.ping, PING, [(1, 930), (3, 1050)]),
        (
            readers.traceroute,
            TRACEROUTE,
            [((1, 0), 907), ((1, 2), 909), ((16, 0), 905), ((16, 1), 932)],
        ),
        (readers.mtr, MTR, [(33000, 953)]),
        (readers.scamper, SCAMPER, [((1, 0), 927), ((1, 2), 900)]),
    ],
)
def test_output_of_tools_is_parsed(read, text, told):
    """The key and the RTT in microseconds of each answered probe."""
    found = list(read(text))
    assert [each.key for each in found] == [key for key, _ in told]
    assert [each.rtt_us for each in found] == pytest.approx([rtt for _, rtt in told])


def records(*packets, held_us=900):
    """Records of these packets, a millisecond apart."""
    made = np.zeros(len(packets), RECORD)
    for number, packet in enumerate(packets):
        data = bytes(packet)[:64]
        made[number]["packet"][: len(data)] = np.frombuffer(data, np.uint8)
        made[number]["read_mono"] = number * 1_000_000
        made[number]["write_mono"] = number * 1_000_000 + held_us * 1_000
        made[number]["written_mono"] = made[number]["write_mono"] + 3_000
    return made


def test_samples_are_matched_by_sequence():
    """In any order. A record that no tool reports matches nothing."""
    found = records(*(IP() / ICMP(seq=number) for number in (7, 5, 6)))
    rtts, joined = join([Reported(5, 1.0), Reported(7, 2.0), Reported(8, 3.0)], found, by_sequence)
    assert rtts.tolist() == [1.0, 2.0]
    assert joined["read_mono"].tolist() == [1_000_000, 0]


def test_samples_are_matched_by_ttl_and_order():
    """In both families: the second probe of a TTL is the second that was read."""
    found = records(IP(ttl=1), IP(ttl=2), IP(ttl=1), IPv6(hlim=9))
    assert by_ttl(found) == [(1, 0), (2, 0), (1, 1), (9, 0)]


def test_uncertain_record_matches_nothing():
    """One of two with the same number, or one whose reply was not written."""
    found = records(*(IP() / ICMP(seq=number) for number in (5, 5, 6)))
    found["written_mono"][2] = 0
    assert len(join([Reported(5, 1.0), Reported(6, 1.0)], found, by_sequence)[0]) == 0


def test_records_are_matched_within_the_time_of_a_trace():
    """The same TTLs before and after belong to other traces."""
    found = records(IP(ttl=1), IP(ttl=1), IP(ttl=1))
    rtts, joined = of_trace([(1, 905_000)], found, began=500_000, ended=1_500_000)
    assert rtts.tolist() == [905.0]
    assert joined["read_mono"].tolist() == [1_000_000]


def test_error_is_the_rtt_beyond_the_responders_delay():
    """A sample counts only if the responder read and wrote on its own core."""
    found = records(IP(), IP(), IP())
    found["unread_ns"] = [900, 50_000_000, 800]
    found["written_mono"][2] += 1_000_000
    errors = Errors()
    assert errors.add(np.array([904.0, 1.0, 2.0]), found).tolist() == [True, False, False]
    assert errors.all("error").tolist() == pytest.approx([4.0])
    assert (len(errors), len(errors.all("left_out"))) == (1, 2)


def test_quantiles_have_intervals():
    """By rank: with 1,000 samples the median lies within 31 of the middle."""
    median = quantile(np.arange(1000.0), 0.5)
    assert (median.low, median.value, median.high) == (469.0, 500.0, 531.0)
