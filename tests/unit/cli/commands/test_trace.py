"""`colotrace trace`: what it asks, what it prints, and how it ends."""

import json
import subprocess
import sys

import pytest

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
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
