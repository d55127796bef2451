"""`list`, `show`, `follow`, `cancel`, `open`: measurements that the coordinator keeps."""

import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

MEASUREMENT = "0198c0de" * 4
OTHER = "0198c0df" * 4
CODE_2 = "Could not gather traceroute data: Code 2"


def kept(envelope, summary, *rows, **more):
    """The answer to `GET {id}`."""
    body = envelope([{"target": "192.0.2.1", "colos": list(rows)}])
    return body | {"result_info": summary(colos=[row["colo"]["name"] for row in rows], **more)}


def queries(api):
    return [parse_qs(urlsplit(path).query) for _, path, _, _ in api.asked]


def test_list_has_a_line_for_each(api, run, envelope, summary):
    """Its id, when, how it ended, and what was asked for."""
    many = summary(id=OTHER, targets=["a.example", "b.example", "c.example"], outcome="errors")
    api.answers(envelope([summary("running", colos=["den01", "sin01"]), many]))
    result = run("list")
    assert result.exit_code == 0
    head, _, first, second = result.stdout.splitlines()
    assert head.split() == ["id", "began", "state", "rows", "took", "from", "targets"]
    assert first.split() == [
        *(MEASUREMENT, "2026-11-28", "20:15:02Z", "running", "2/2", "den01", "sin01", "192.0.2.1")
    ]
    assert "with errors" in second
    assert second.endswith("a.example +2")


def test_filters_are_the_apis_own(api, run, envelope):
    api.answers(envelope([]))
    result = run(
        *("list", "--target", "a.example", "--colo", "den", "--packet-type", "tcp"),
        *("--outcome", "errors", "--since", "2h", "--until", "2026-11-28T20:00:00Z"),
        *("--count", "7"),
    )
    assert result.exit_code == 0
    (query,) = queries(api)
    since = int(query.pop("since")[0])
    assert abs(time.time() - 7_200 - since) < 60
    assert query == {
        "target": ["a.example"],
        "colo": ["den"],
        "packet_type": ["tcp"],
        "outcome": ["errors"],
        "until": ["2026-11-28T20:00:00Z"],
        "per_page": ["7"],
    }


def test_pages_are_followed_by_their_cursor(api, run, envelope, summary):
    """Up to the number that was asked for."""
    page = envelope([summary()] * 100)
    api.answers(page | {"result_info": {"cursor": "next/one"}})
    result = run("list", "--count", "250")
    assert len(result.stdout.splitlines()) == 252
    assert [query["per_page"] for query in queries(api)] == [["100"], ["100"], ["50"]]
    assert [query.get("cursor") for query in queries(api)] == [None, ["next/one"], ["next/one"]]


def test_empty_list_says_so(api, run, envelope):
    api.answers(envelope([]))
    assert run("list").stdout == "no measurements\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--outcome", "bad"),
        ("--since", "0d"),
        ("--since", "xh"),
        ("--since", "yesterday"),
        ("--until", "2w"),
        ("--until", "2026-11-28"),
        ("--count", "0"),
    ],
)
def test_wrong_filter_is_wrong_usage(api, run, words):
    assert run("list", *words).exit_code == 2
    assert api.asked == []


@pytest.mark.parametrize(
    "word",
    [
        MEASUREMENT,
        MEASUREMENT.upper(),
        f"https://x.example/accounts/a/diagnostics/traceroute/{MEASUREMENT}/",
    ],
)
def test_show_takes_an_id_or_a_link(api, run, envelope, summary, colo_row, word):
    api.on("GET", f"/{MEASUREMENT}", api.replying(kept(envelope, summary, colo_row())))
    result = run("show", word)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"measurement {MEASUREMENT}, 2026-11-28 20:15:02Z, complete\n")
    assert "core.example" in result.stdout
    assert result.stdout.endswith("1 trace in 1.2 s: 1 reached the target\n")


def test_show_of_a_running_one_says_how_far_it_is(api, run, envelope, summary, colo_row):
    rows = {"asked": 3, "finished": 1, "failed": 0, "unreached": 0}
    body = kept(envelope, summary, colo_row(), status="running", rows=rows)
    api.answers(body)
    assert "running, 1 of 3 rows so far" in run("show", MEASUREMENT).stdout


def test_show_ends_with_1_if_a_row_failed(api, run, envelope, summary, colo_row):
    api.answers(kept(envelope, summary, colo_row(error=CODE_2)))
    assert run("show", MEASUREMENT).exit_code == 1


@pytest.mark.parametrize("words", ["nothing", "123", "@-0", "@1", "0198c0de" * 4 + "0"])
def test_what_is_no_id_is_told(api, run, words):
    result = run("show", words)
    assert result.exit_code == 2
    assert "colotrace list" in result.stderr
    assert api.asked == []


def test_unknown_measurement_names_the_list(api, run, failure):
    api.answers(failure({"code": 1022, "message": "no such measurement"}), status=404)
    result = run("show", MEASUREMENT)
    assert result.exit_code == 3
    assert "colotrace list" in result.stderr
    assert "COLOTRACE_URL" not in result.stderr


def test_format_is_passed_on_and_printed_as_it_comes(api, run):
    api.on(
        "GET",
        f"/{MEASUREMENT}?format=csv",
        api.replying(b"a,b\r\n1,2\r\n", headers={"content-type": "text/csv"}),
    )
    assert run("show", MEASUREMENT, "--format", "csv").stdout_bytes == b"a,b\r\n1,2\r\n"


def test_unknown_format_is_the_coordinators_error(api, run, failure):
    api.answers(failure({"code": 1001, "message": "no such format"}), status=400)
    result = run("show", MEASUREMENT, "--format", "x/y")
    assert result.exit_code == 3
    assert "no such format" in result.stderr
    assert queries(api) == [{"format": ["x/y"]}]


def test_follow_into_a_pipe_prints_the_end_alone(api, run, envelope, summary, colo_row):
    """Nothing live where no terminal is."""
    api.on(
        "GET",
        f"/{MEASUREMENT}/events",
        api.streaming(
            ("start", {"measurement": summary("running"), "rows": 1}),
            ("row", {"target": 0, "colo": 0, "row": colo_row()}),
            ("end", {"measurement": summary()}),
        ),
    )
    result = run("follow", MEASUREMENT)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "core.example" in result.stdout


def test_cancel_never_removes_a_finished_one(api, run, envelope, summary):
    """`?if=running` is the API's word for it."""
    done = summary("cancelled")
    api.on("DELETE", f"/{MEASUREMENT}?if=running", api.replying(envelope(done)))
    result = run("cancel", MEASUREMENT)
    assert result.exit_code == 0
    assert "cancelled" in result.stdout


def test_open_prints_the_link(run, environment):
    """On the page; the other commands take it."""
    url, account = environment["COLOTRACE_URL"], environment["COLOTRACE_ACCOUNT"]
    link = f"{url}/#/{account}/m/{MEASUREMENT}"
    assert run("open", MEASUREMENT).stdout == link + "\n"
    assert run("open", link + "?view=graph").stdout == link + "\n"
    assert run("open", MEASUREMENT, "--url", url + "/client/v4").stdout == link + "\n"


def test_json_is_the_body(api, run, envelope, summary, colo_row):
    body = json.dumps(kept(envelope, summary, colo_row()), indent=1).encode()
    api.answers(body)
    assert run("show", MEASUREMENT, "--json").stdout_bytes == body


def test_agents_have_a_line_each(api, run, envelope):
    """A column that is empty for all agents is left out."""
    agent = {
        "id": "probe-1",
        "colo": "den01",
        "version": "0.3.0",
        "families": ["ipv4"],
        "packet_types": ["icmp", "udp"],
        "tags": {"provider": "x"},
        "attached_since": "2026-11-28T20:15:02Z",
        "last_trouble": None,
    }
    api.answers(envelope([agent]))
    head, _, line = run("agents").stdout.splitlines()
    assert head.split() == [
        *("colo", "agent", "version", "since", "families", "packet", "types", "tags")
    ]
    assert line.split() == [
        *("den01", "probe-1", "0.3.0", "2026-11-28", "20:15:02Z", "IPv4", "icmp", "udp"),
        "provider=x",
    ]


def test_no_agent_names_the_next_step(api, run, envelope):
    api.answers(envelope([]))
    assert "colotrace-agent run" in run("agents").stdout


@pytest.mark.parametrize("command", ["show", "follow"])
def test_full_json_is_refused(api, run, command):
    """The API's answer has each path anyway."""
    assert run(command, MEASUREMENT, "--full", "--json").exit_code == 2
    assert api.asked == []


def test_show_tells_what_bad_rows_share(api, run, envelope, summary, colo_row):
    rows = [colo_row(f"c{n:02d}") for n in range(5)]  # enough that some may be slow
    api.on("GET", f"/{MEASUREMENT}", api.replying(kept(envelope, summary, *rows)))
    told = {"fate": {"findings": [{"in_words": "2 of 2 slow colos cross 192.0.2.7"}]}}
    api.on("GET", f"/{MEASUREMENT}/graph", api.replying(envelope(told)))
    result = run("show", MEASUREMENT)
    assert result.exit_code == 0
    assert result.stdout.endswith("2 of 2 slow colos cross 192.0.2.7\n")


def test_graph_that_is_cut_is_told_beside_it(api, run):
    """On standard error; the document stays as it is."""
    text = "digraph x {\n  node [shape=box];\n{}}\n"
    cut = text.replace("{}", "// cut: not drawn: 3 flows\n")
    for sent, told in ((cut, "colotrace: not drawn: 3 flows\n"), (text, "")):
        api.answers(sent.encode(), headers={"content-type": "text/vnd.graphviz"})
        result = run("show", MEASUREMENT, "--format", "dot")
        assert (result.exit_code, result.stdout, result.stderr) == (0, sent, told)
