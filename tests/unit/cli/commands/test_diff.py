"""`colotrace diff` and `trace --watch`: what differs."""

import json

import pytest
from colotrace_cli import printed

A, B = "0198c0de" * 4, "0198c0df" * 4


@pytest.fixture
def found():
    """The differences of two measurements, as the API sends them."""
    rows = [{"target": "192.0.2.1", "colo": name} for name in ("den01", "sin01")]
    return {
        "before": A,
        "after": B,
        "empty": False,
        "in_words": [
            "3 rows compared, with the paths of 2: 2 rows differ",
            "2 colos moved from AS64501 to AS64502 at hop 4, median +12 ms",
            "paths of 1 row not compared: its agent does not report flows",
        ],
        "clusters": [
            {
                "kind": "asn",
                "in_words": "2 colos moved from AS64501 to AS64502 at hop 4, median +12 ms",
                "rows": rows,
            }
        ],
        "changes": [
            row
            | {
                "answer": "unreached",
                "address": ["192.0.2.1", "192.0.2.2"],
                "moved": [{"before_ttl": 4, "after_ttl": 5, "ip": "192.0.2.5"}],
                "left_asns": ["AS64501"],
                "joined_asns": ["AS64502"],
                "loss": {
                    "before_lost": 0,
                    "before_sent": 3,
                    "after_lost": 3,
                    "after_sent": 3,
                    "p_value": 0.01,
                },
            }
            for row in rows
        ],
    }


def test_clusters_come_first_then_the_rows(api, run, envelope, found):
    api.on("GET", f"/{A}/diff/{B}", api.replying(envelope(found)))
    result = run("diff", A, B)
    assert result.exit_code == 4
    lines = result.stdout.splitlines()
    assert lines[0] == "3 rows compared, with the paths of 2: 2 rows differ"
    assert lines[1].strip().startswith("2 colos moved from AS64501")
    assert lines[2].split() == ["den01", "sin01"]
    assert lines[3].startswith("paths of 1 row not compared")
    assert lines[5:11] == [
        "192.0.2.1 from den01",
        "  the target does not answer any more",
        "  the target's address: 192.0.2.1 → 192.0.2.2",
        "  ASes: -AS64501 +AS64502",
        "  hop 4 → 5: 192.0.2.5",
        "  lost: 0/3 → 3/3",
    ]


def test_many_rows_are_printed_on_request(api, run, envelope, found):
    found["changes"] *= 3
    api.answers(envelope(found))
    assert "hop 4" not in run("diff", A, B).stdout.partition("\n\n")[2]
    assert run("diff", A, B, "--full").stdout.count("hop 4 → 5") == 6


def test_many_hops_of_a_row_are_counted(api, run, envelope, found):
    """All that the coordinator lists are printed on request, and what it left out is told."""
    hops = [{"ttl": ttl, "ip": f"198.51.100.{ttl}"} for ttl in range(1, 51)]
    found["changes"] = [
        {"target": "192.0.2.1", "colo": "den01", "went": hops, "appeared": hops, "left_out": 1200}
    ]
    api.answers(envelope(found))
    short, full = (run("diff", A, B, *more).stdout for more in ((), ("--full",)))
    assert (short.count(": - "), short.count(": + ")) == (20, 20)
    assert "  and 60 more changed hops (colotrace diff --full)\n" in short
    assert (full.count(": - "), full.count(": + ")) == (50, 50)
    for each in (short, full):
        assert "  and 1,200 more changed hops and ASes, too many to list\n" in each


def test_no_difference_ends_with_0(api, run, envelope):
    same = {"before": A, "after": B, "empty": True, "in_words": ["1 row compared: no difference"]}
    api.answers(envelope(same))
    result = run("diff", A, B)
    assert (result.exit_code, result.stdout) == (0, "1 row compared: no difference\n")


def test_json_is_the_body_and_the_exit_code_stays(api, run, envelope, found):
    body = json.dumps(envelope(found), indent=1).encode()
    api.answers(body)
    result = run("diff", A, B, "--json")
    assert (result.exit_code, result.stdout_bytes) == (4, body)


def test_words_of_the_network_cannot_reach_the_terminal(api, run, envelope, found):
    evil = "\x1b[2J\x9b"
    found["in_words"] = [evil, evil, evil]
    found["clusters"][0]["in_words"] = evil
    found["changes"][0] |= {"target": evil, "colo": evil, "address": [evil, evil]}
    api.answers(envelope(found))
    assert not set("\x1b\x9b") & set(run("diff", A, B).stdout)


@pytest.fixture
def times(monkeypatch):
    """How long `--watch` waits; the third wait is interrupted."""
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(printed.time, "sleep", sleep)
    return waits


def test_watch_traces_again_and_prints_what_changed(api, run, envelope, colo_row, found, times):
    rows = envelope([{"target": "192.0.2.1", "colos": [colo_row()]}])
    ids = [f"{n:032x}" for n in (1, 2, 3)]
    api.on("POST", "", *(api.replying(rows, headers={"Measurement-Id": each}) for each in ids))
    same = {"before": A, "after": B, "empty": True, "in_words": ["1 row compared"]}
    same |= {"rows": 1, "paths": 1}
    api.on("GET", f"/{ids[0]}/diff/{ids[1]}", api.replying(envelope(same)))
    api.on("GET", f"/{ids[1]}/diff/{ids[2]}", api.replying(envelope(found)))
    result = run("trace", "192.0.2.1", "--watch", "10s")
    assert result.exit_code == 130
    _, first, second = result.stdout.partition("1 trace in ")[2].split("Z ", 2)
    assert first.startswith("no change")
    assert second.startswith("2 rows differ\n3 rows compared")
    # The clock stands still while it "sleeps", so that the beginnings add up.
    assert all(10 * n - 5 < wait <= 10 * n for n, wait in enumerate(times, 1))


@pytest.mark.parametrize(
    "words",
    [
        ("--watch", "0s"),
        ("--watch", "x"),
        ("--watch", "1s", "--json"),
        ("--watch", "1s", "--fail-unreached"),
    ],
)
def test_wrong_watch_is_wrong_usage(api, run, words):
    assert run("trace", "192.0.2.1", *words).exit_code == 2
    assert api.asked == []


def test_watch_tells_that_no_path_could_be_compared(api, run, envelope, colo_row, times):
    """Without a difference, since nothing was looked at."""
    rows = envelope([{"target": "192.0.2.1", "colos": [colo_row()]}])
    api.answers(rows, headers={"Measurement-Id": A})
    unseen = {"before": A, "after": A, "empty": True, "in_words": ["nothing"], "rows": 1}
    api.on("GET", f"/{A}/diff/{A}", *[api.replying(envelope(unseen))] * 2)
    shown = run("trace", "192.0.2.1", "--watch", "10s").stdout
    assert shown.count("Z no path could be compared") == 2
    assert "no change" not in shown


def test_full_json_is_refused(api, run):
    """The API's answer has each row anyway."""
    assert run("diff", A, B, "--full", "--json").exit_code == 2
    assert api.asked == []
