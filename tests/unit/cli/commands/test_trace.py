"""`colotrace trace`: what it asks, what it prints, and how it ends."""

import json
import subprocess
import sys

import pytest

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
MEASUREMENT = "0198c0de" * 4
CODE_2 = "Could not gather traceroute data: Code 2"


def test_the_request_is_the_apis_own(api, run, envelope):
    """Targets, colos and only the options that were given, with the token, at the account's URL."""
    api.answers(envelope([]))
    result = run(
        *("trace", "192.0.2.1", "example.com", "--from", "den, sin", "--from", "fra01"),
        *("--packet-type", "tcp", "--max-ttl", "20", "--port", "443"),
    )
    assert result.exit_code == 0
    method, path, headers, body = api.asked[0]
    assert (method, path) == ("POST", f"/accounts/{ACCOUNT}/diagnostics/traceroute")
    assert headers["authorization"] == "Bearer a-token"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "targets": ["192.0.2.1", "example.com"],
        "colos": ["den", "sin", "fra01"],
        "options": {"packet_type": "tcp", "max_ttl": 20, "port": 443},
    }


def test_without_from_all_colos_are_asked(api, run, envelope):
    """No `colos` at all: the API's word for every colo."""
    api.answers(envelope([]))
    run("trace", "192.0.2.1")
    assert json.loads(api.asked[0][3]) == {"targets": ["192.0.2.1"], "options": {}}


@pytest.mark.parametrize("base", ["", "/", "/client/v4", "/client/v4/"])
def test_the_url_may_carry_the_apis_base_path(api, run, envelope, base):
    """With or without /client/v4 and a trailing slash, flags before the environment."""
    api.answers(envelope([]))
    run("trace", "192.0.2.1", "--url", api.url + base, "--account", "a/b")
    assert api.asked[0][1] == f"{base.rstrip('/')}/accounts/a%2Fb/diagnostics/traceroute"


def test_each_colo_has_its_table(api, run, envelope, colo_row):
    """A heading and a table for each target and colo, and a summary line."""
    rows = [{"target": "192.0.2.1", "colos": [colo_row("den01"), colo_row("sin01")]}]
    api.answers(envelope(rows))
    result = run("trace", "192.0.2.1")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "192.0.2.1 from den01 (Denver, CO, US)" in result.stdout
    assert "192.0.2.1 from sin01" in result.stdout
    assert result.stdout.count("core.example") == 2
    assert result.stdout.splitlines()[-1].startswith("2 traces in ")
    assert result.stdout.rstrip().endswith("2 reached the target")


def test_a_failed_row_is_told_in_words_and_in_the_exit_code(api, run, envelope, colo_row):
    """The message about a row stands under its table, any other at the end; exit code 1."""
    rows = [{"target": "192.0.2.1", "colos": [colo_row(), colo_row("sin01", error=CODE_2)]}]
    about_row = {
        "code": 1102,
        "message": "the agent was lost",
        "source": {"pointer": "/result/0/colos/1"},
    }
    about_nothing = {
        "code": 1200,
        "message": "elsewhere",
        "source": {"pointer": "/result/7/colos/1"},
    }
    api.answers(envelope(rows, messages=[about_nothing, about_row]))
    result = run("trace", "192.0.2.1")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[lines.index(CODE_2) + 1] == "1102 the agent was lost"
    assert lines[-2] == "1200 elsewhere"
    assert lines[-1].endswith("2 reached the target, 1 with an error")


def test_json_is_the_body_byte_for_byte(api, run, envelope, colo_row):
    """Into a pipe, what the API sent, unknown fields and spacing included; exit codes stay."""
    rows = [{"target": "192.0.2.1", "colos": [colo_row(error=CODE_2)], "later": 1}]
    body = json.dumps(envelope(rows), indent=1).encode() + b"\n"
    api.answers(body)
    result = run("trace", "192.0.2.1", "--json")
    assert result.stdout_bytes == body
    assert result.exit_code == 1


def test_json_prints_an_error_envelope_too(api, run, failure):
    """The error's body on standard output, its words on standard error; exit code 3."""
    api.answers(failure({"code": 10000, "message": "Authentication error"}), status=401)
    result = run("trace", "192.0.2.1", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["errors"][0]["code"] == 10000
    assert "COLOTRACE_TOKEN" in result.stderr


def test_names_from_the_network_cannot_reach_the_terminal(api, run, envelope, colo_row):
    """Control characters and markup in names, messages and cities come out as plain text."""
    evil = "[red]\x1b]0;owned\x07\u202e\x9b2J"
    row = colo_row(evil, node=evil)
    message = {"code": 1200, "message": evil}
    api.answers(envelope([{"target": evil, "colos": [row]}], messages=[message]))
    result = run("trace", "192.0.2.1")
    assert result.exit_code == 0
    assert "[red]" in result.stdout
    assert not set("\x1b\x07\u202e\x9b") & set(result.stdout + result.stderr)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("COLOTRACE_URL", "export COLOTRACE_URL="),
        ("COLOTRACE_TOKEN", "export COLOTRACE_TOKEN="),
        ("COLOTRACE_ACCOUNT", "export COLOTRACE_ACCOUNT="),
    ],
)
def test_a_missing_setting_names_its_remedy(api, run, missing, words):
    """Exit code 2, the variable to set, and nothing sent."""
    result = run("trace", "192.0.2.1", env={missing: None})
    assert result.exit_code == 2
    assert words in result.stderr
    assert api.asked == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("trace",),
        ("trace", "192.0.2.1", "--from", ","),
        ("trace", "192.0.2.1", "--max-ttl", "65"),
        ("trace", "192.0.2.1", "--packet-type", "smoke"),
        ("trace", "192.0.2.1", "--ca-file", "/nowhere/ca.pem"),
        ("trace", "192.0.2.1", "--ca-file", "/" + "x" * 300),
        ("nothing",),
    ],
)
def test_a_wrong_command_line_ends_with_2(api, run, arguments):
    """Usage errors are told before anything is sent."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr
    assert api.asked == []


@pytest.mark.parametrize("command", [(), ("trace",), ("colos",)])
def test_help_tells_the_exit_codes(run, command):
    """`--help` of each command works without settings and names the exit codes."""
    result = run(*command, "--help", env={"COLOTRACE_URL": None})
    assert result.exit_code == 0
    assert "Exit codes" in result.stdout


def test_starting_loads_neither_httpx_nor_rich():
    """What is only needed for a request or a table is not loaded before."""
    code = (
        "import sys, colotrace_cli.main; "
        "print([m for m in ('httpx', 'rich', 'numpy', 'grpc') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_load_balanced_paths_are_asked_for_and_their_links_printed(api, run, envelope, colo_row):
    """`--multipath` is the API's option; each link has a line."""
    link = {"ttl": 4, "from": "198.18.0.1", "to": "198.18.0.2", "flows": 11}
    row = colo_row() | {"links": [link]}
    api.answers(envelope([{"target": "192.0.2.1", "colos": [row]}]))
    result = run("trace", "192.0.2.1", "--multipath")
    assert result.exit_code == 0
    assert json.loads(api.asked[0][3])["options"] == {"multipath": True}
    assert ["4", "198.18.0.1", "198.18.0.2", "11"] in [
        line.split() for line in result.stdout.splitlines()
    ]


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--fail-unreached"], 1)])
def test_a_target_that_did_not_answer_fails_only_if_that_is_asked(
    api, run, envelope, colo_row, words, code
):
    reached, silent = colo_row(), colo_row("sin01")
    api.answers(envelope([{"target": "192.0.2.1", "colos": [reached]}]))
    assert run("trace", "192.0.2.1", *words).exit_code == 0
    silent["target_summary"] = {"asn": "", "ip": "192.0.2.1", "name": "", "packet_count": 0}
    api.answers(envelope([{"target": "192.0.2.1", "colos": [reached, silent]}]))
    assert run("trace", "192.0.2.1", *words).exit_code == code


@pytest.mark.parametrize(
    ("words", "env", "colos"),
    [
        (["--from", "country:DE,limit:5"], {}, ["country:DE", "limit:5"]),
        (["--from", "city:Denver, CO, US", "--from", "sin"], {}, ["city:Denver, CO, US", "sin"]),
        ([], {"COLOTRACE_FROM": "city:Denver, CO, US,sin"}, ["city:Denver, CO, US", "sin"]),
        ([], {"COLOTRACE_FROM": "den sin"}, ["den", "sin"]),
    ],
)
def test_selectors_are_passed_on(api, run, envelope, words, env, colos):
    """Also those with commas and spaces, from a flag or the variable."""
    api.answers(envelope([]))
    assert run("trace", "192.0.2.1", *words, env=env).exit_code == 0
    assert json.loads(api.asked[0][3])["colos"] == colos


@pytest.mark.parametrize(("flag", "family"), [("-4", 4), ("-6", 6), ("--ipv6", 6)])
def test_family_is_an_option(api, run, envelope, flag, family):
    api.answers(envelope([]))
    assert run("trace", "a.example", flag).exit_code == 0
    assert json.loads(api.asked[0][3])["options"] == {"family": family}


def test_more_than_ten_targets_are_several_measurements(api, run, envelope, colo_row):
    """Printed one after another, under one summary."""
    targets = [f"192.0.2.{n}" for n in range(25)]
    api.answers(envelope([{"target": "x", "colos": [colo_row(error=CODE_2)]}]))
    result = run("trace", *targets)
    asked = [json.loads(body)["targets"] for *_, body in api.asked]
    assert sorted(map(len, asked)) == [5, 10, 10]
    assert sorted(target for each in asked for target in each) == sorted(targets)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("3 traces in ")


def test_async_prints_the_id_and_does_not_wait(api, run, envelope, summary):
    info = {"result_info": summary("running")}
    headers = {"Measurement-Id": MEASUREMENT, "Preference-Applied": "respond-async"}
    api.answers(envelope([]) | info, status=202, headers=headers)
    result = run("trace", "192.0.2.1", "--async")
    assert (result.exit_code, result.stdout) == (0, MEASUREMENT + "\n")
    assert api.asked[0][2]["prefer"] == "respond-async"
    assert run("open", "@-1").stdout.rstrip().endswith(MEASUREMENT)


def test_async_at_an_older_coordinator_is_told(api, run, envelope):
    api.answers(envelope([]))
    result = run("trace", "192.0.2.1", "--async")
    assert result.exit_code == 3
    assert "keeps no measurements" in result.stderr


def test_share_prints_the_link_last(api, run, envelope, colo_row):
    rows = [{"target": "192.0.2.1", "colos": [colo_row()]}]
    api.answers(envelope(rows), headers={"Measurement-Id": MEASUREMENT})
    result = run("trace", "192.0.2.1", "--share")
    link = result.stdout.splitlines()[-1]
    assert link == f"{api.url}/#/{ACCOUNT}/m/{MEASUREMENT}"


def test_share_at_an_older_coordinator_is_told(api, run, envelope):
    api.answers(envelope([]))
    result = run("trace", "192.0.2.1", "--share")
    assert result.exit_code == 0
    assert "there is no link" in result.stderr


def test_format_is_asked_for_and_printed_as_it_comes(api, run):
    body = b"a,b\r\n1,2\r\n"
    api.on("POST", "?format=csv", api.replying(body, headers={"content-type": "text/csv"}))
    assert run("trace", "192.0.2.1", "--format", "csv").stdout_bytes == body


@pytest.mark.parametrize(
    "words",
    [
        ("--json", "--format", "csv"),
        ("--json", "--async"),
        ("--json", "--full"),
        ("-4", "-6"),
    ],
)
def test_flags_that_exclude_each_other(api, run, words):
    result = run("trace", "192.0.2.1", *words)
    assert result.exit_code == 2
    assert "choose one" in result.stderr
    assert api.asked == []


def test_many_rows_are_a_line_each_and_in_full_on_request(api, run, envelope, colo_row):
    names = [f"c{n:02d}" for n in range(6)]
    api.answers(envelope([{"target": "192.0.2.1", "colos": [colo_row(name) for name in names]}]))
    short, full = run("trace", "192.0.2.1"), run("trace", "192.0.2.1", "--full")
    assert "reached from 6 of 6 colos" in short.stdout
    assert "core.example" not in short.stdout
    assert "--full" in short.stderr
    assert full.stdout.count("core.example") == 6
    assert full.stderr == ""


@pytest.mark.parametrize(
    ("asked", "words"),
    [("dem01", "dem01: did you mean den01"), ("sni", "sni: did you mean sin"), ("xyzzy", "")],
)
def test_unknown_colo_names_those_that_may_be_meant(api, run, envelope, failure, asked, words):
    """Names and codes that the coordinator knows."""
    error = {"code": 1005, "message": "Colo is not a valid colo"}
    error["source"] = {"pointer": "/colos/1"}
    api.on("POST", "", api.replying(failure(error), status=400))
    api.on("GET", "/colos", api.replying(envelope([{"name": "den01"}, {"name": "sin01"}])))
    result = run("trace", "192.0.2.1", "--from", f"den,{asked}")
    assert result.exit_code == 3
    assert words in result.stderr
    assert ("did you mean" in result.stderr) == bool(words)


def test_unknown_colo_is_told_also_if_the_colos_are_not(api, run, failure):
    error = {"code": 1005, "message": "x", "source": {"pointer": "/colos/0"}}
    api.answers(failure(error), status=400)
    result = run("trace", "192.0.2.1", "--from", "dem")
    assert result.exit_code == 3
    assert "colotrace colos" in result.stderr


@pytest.mark.parametrize(("flag", "words"), [("--tree", "2 colos"), ("--matrix", "colo ")])
def test_paths_of_all_colos_together(api, run, envelope, colo_row, flag, words):
    colos = [colo_row("den01"), colo_row("sin01")]
    api.answers(envelope([{"target": "192.0.2.1", "colos": colos}]))
    result = run("trace", "192.0.2.1", flag)
    assert result.exit_code == 0
    assert words in result.stdout
    assert "den01" in result.stdout
    assert run("trace", "192.0.2.1", flag, "--json").exit_code == 2


FATE = {"findings": [{"in_words": "2 of 2 unreached colos cross \x1b192.0.2.7"}]}


def silent(colo_row, name):
    """A row whose target did not answer."""
    row = colo_row(name)
    row["target_summary"] = {**row["target_summary"], "packet_count": 0}
    return row


def test_what_bad_rows_share_is_told(api, run, envelope, colo_row):
    colos = [colo_row("den01"), silent(colo_row, "sin01"), silent(colo_row, "sin02")]
    body = envelope([{"target": "192.0.2.1", "colos": colos}])
    api.on("POST", "", api.replying(body, headers={"Measurement-Id": MEASUREMENT}))
    api.on("GET", f"/{MEASUREMENT}/graph", api.replying(envelope({"fate": FATE})))
    result = run("trace", "192.0.2.1")
    assert result.exit_code == 0
    assert result.stdout.endswith("2 of 2 unreached colos cross \\x1b192.0.2.7\n")


def test_coordinator_that_cannot_tell_what_bad_rows_share_is_no_error(
    api, run, envelope, failure, colo_row
):
    colos = [colo_row("den01"), silent(colo_row, "sin01")]
    body = envelope([{"target": "192.0.2.1", "colos": colos}])
    api.on("POST", "", api.replying(body, headers={"Measurement-Id": MEASUREMENT}))
    missing = failure({"code": 7003, "message": "no route"})
    api.on("GET", f"/{MEASUREMENT}/graph", api.replying(missing, status=404))
    result = run("trace", "192.0.2.1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(api.asked) == 2


def test_graph_is_not_asked_for_where_no_row_is_bad(api, run, envelope, colo_row):
    body = envelope([{"target": "192.0.2.1", "colos": [colo_row("den01"), colo_row("sin01")]}])
    api.answers(body, headers={"Measurement-Id": MEASUREMENT})
    assert run("trace", "192.0.2.1").exit_code == 0
    assert len(api.asked) == 1
