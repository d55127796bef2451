"""`colotrace agents` and `colotrace colos` of an administrator."""

import json

import pytest

AGENT = {
    "id": "0123456789abcdef",
    "colo": "den01",
    "agent_id": "a1",
    "city": "Denver, CO, US",
    "host": "probe1",
    "state": "enrolled",
    "version": "0.3.0",
    "families": ["ipv4", "ipv6"],
    "attached_since": "2026-11-28T20:15:02.000Z",
    "last_seen_at": "2026-11-28T20:16:02.000Z",
    "enrolled_at": "2026-11-27T20:15:02.000Z",
    "certificate_ends_at": "2026-12-04T20:15:02.000Z",
    "revoked_at": None,
    "last_trouble": "2026-11-28T20:15:00.000Z: it was busy",
    "cpu_millis": 21,
    "memory_bytes": 88_080_384,
}
GONE = AGENT | {
    "agent_id": "a2",
    "attached_since": None,
    "last_trouble": None,
    "cpu_millis": None,
    "memory_bytes": None,
}
NEVER = GONE | {"agent_id": "a3", "last_seen_at": None}


def asked(api):
    """Method, path below the account's traceroutes, and body of the only request."""
    [(method, path, _, body)] = api.asked
    return method, path.partition("/traceroute")[2], json.loads(body) if body else None


def test_all_agents_of_the_fleet_are_listed(api, run, envelope):
    """Attached or not."""
    api.answers(envelope([AGENT, GONE, NEVER]))
    done = run("agents", "--all")
    assert asked(api)[:2] == ("GET", "/fleet/agents")
    lines = done.stdout.splitlines()
    assert "last trouble" in lines[0]
    text = done.stdout
    for words in ("probe1", "enrolled", "since 2026-11-28 20:15:02Z", "2.1 %", "84 MiB"):
        assert words in text
    assert "no, seen 2026-11-28 20:16:02Z" in text
    assert "never" in text
    assert "it was busy" in text


def test_json_is_the_answer_unchanged(api, run, envelope):
    body = json.dumps(envelope([AGENT]), indent=1).encode()
    api.answers(body)
    assert run("agents", "--all", "--json").stdout_bytes == body


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["drain", "den01/a1"], ("PATCH", "/fleet/agents/den01:a1", {"drained": True})),
        (["undrain", "a1"], ("PATCH", "/fleet/agents/a1", {"drained": False})),
        (["rename", "a1", "b1"], ("PATCH", "/fleet/agents/a1", {"agent_id": "b1"})),
        (
            ["rename", "a1", "den02/b1", "--city", "Golden"],
            ("PATCH", "/fleet/agents/a1", {"agent_id": "b1", "colo": "den02", "city": "Golden"}),
        ),
        (["revoke", "a?1"], ("POST", "/fleet/agents/a%3F1/revoke", None)),
    ],
)
def test_agent_is_changed(api, run, envelope, words, expected):
    api.answers(envelope(AGENT | {"state": "drained"}))
    done = run("agents", *words)
    assert asked(api) == expected
    assert done.stdout == "den01/a1: drained\n"


def test_forgotten_agent_is_named_as_it_was(api, run, envelope):
    api.answers(envelope({"id": AGENT["id"]}))
    assert run("agents", "forget", "den01/a1").stdout == "den01/a1: forgotten\n"
    assert asked(api) == ("DELETE", "/fleet/agents/den01:a1", None)


def test_enroll_prints_the_line_to_paste_and_nothing_else(api, run, envelope):
    command = "colotrace-agent join ctj_" + "x" * 300
    api.answers(envelope({"id": "t", "token": "ctj_x", "command": command}))
    words = ("--colo", "den01", "--city", "Denver, CO, US", "--uses", "3", "--expires", "2d")
    assert run("agents", "enroll", *words).stdout == command + "\n"
    body = {"colo": "den01", "city": "Denver, CO, US", "uses": 3, "expires_s": 172_800}
    assert asked(api) == ("POST", "/fleet/join-tokens", body)


def test_colo_is_renamed_and_forgotten(api, run, envelope):
    api.answers(envelope({"name": "den02", "agents": 1}))
    assert run("colos", "rename", "den01", "den02").stdout == "den02: 1 agent\n"
    assert asked(api) == ("PATCH", "/fleet/colos/den01", {"name": "den02"})
    api.asked.clear()
    api.answers(envelope({"name": "den01"}))
    assert run("colos", "forget", "den01").stdout == "den01: forgotten\n"
    assert asked(api) == ("DELETE", "/fleet/colos/den01", None)


def test_refusal_is_told(api, run):
    error = {"code": 1030, "message": "den01 already has an agent b1"}
    body = {"success": False, "errors": [error], "messages": [], "result": None}
    api.answers(body, status=409)
    done = run("agents", "rename", "a1", "b1")
    assert done.exit_code == 3
    assert "den01 already has an agent b1" in done.stderr
