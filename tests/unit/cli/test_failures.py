"""Answers that are errors, hostile, cut short or late: each one clear line, exit code 3."""

import asyncio
import socket
import ssl
import time

import pytest
from colotrace_cli.api import client
from colotrace_cli.config import Profile
from colotrace_cli.errors import RequestError
from colotrace_cli.settings import Settings, checked
from fleet.authority import Authority


def plain(url: str) -> Settings:
    """Settings without a profile."""
    return checked(url=url, token="t", account="a", ca_file=None, profile=Profile("default", ""))


def failed(result):
    """The words of a request that failed."""
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("colotrace: ")
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, 1005, "colotrace colos"),
        (400, 9106, "check COLOTRACE_TOKEN"),
        (401, 10000, "unknown, revoked or expired"),
        (403, 9109, "COLOTRACE_ACCOUNT"),
        (405, 7001, "COLOTRACE_URL"),
        (413, 1013, "fewer targets"),
        (429, 10100, "wait 7 s"),
        (400, 1001, "correct the request"),
        (500, 1000, "coordinator's log (request 1-2-3)"),
    ],
)
def test_an_error_names_its_remedy(api, run, failure, status, code, words):
    """Each error's code, message and pointer, and what to do about it."""
    error = {"code": code, "message": "as told", "source": {"pointer": "/options/max_ttl"}}
    api.answers(failure(error), status=status, headers={"retry-after": "7", "cf-ray": "1-2-3"})
    told = failed(run("trace", "192.0.2.1"))
    assert f"answered {status}" in told
    assert f"{code} as told (at /options/max_ttl)" in told
    assert words in told


def test_every_error_of_an_envelope_is_told(api, run, failure):
    """Several errors and their chains; a flood of them is cut."""
    chained = {
        "code": 6003,
        "message": "Invalid request headers",
        "error_chain": [{"code": 6111, "message": "Invalid format"}],
    }
    api.answers(failure(chained, *({"code": 1001, "message": "x"} for _ in range(99))), status=400)
    told = failed(run("trace", "192.0.2.1"))
    assert "6003 Invalid request headers\n    6111 Invalid format\n  1001 x" in told
    assert "… and 80 more" in told


def test_an_error_cannot_reach_the_terminal(api, run, failure):
    """Control characters of an error's words are replaced."""
    api.answers(failure({"code": 1000, "message": "\x1b[2J\x9b"}), status=400)
    assert not set("\x1b\x9b") & set(failed(run("trace", "192.0.2.1")))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>hello</html>",
        b"[]",
        b"null",
        b'{"success": true',
        b'{"success": "yes", "result": []}',
        b'{"success": true, "result": [], "messages": [{"code": "x"}]}',
        b'{"success": true, "result": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"success": true, "errors": [{"code": 1, "message": "\xff"}]}',
        b'{"success": true, "messages": null}',
    ],
)
def test_what_is_not_an_envelope_is_told(api, run, body):
    """Another server's page, half a body, wrong types, or nesting without end."""
    api.answers(body, headers={"content-type": "text/\x1b[2Jhtml"})
    assert "COLOTRACE_URL" in failed(run("trace", "192.0.2.1"))


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        [{"target": 1, "colos": []}],
        [{"target": "x", "colos": [{"colo": {"name": "den01", "city": ""}}]}],
        [{"target": "x"}],
        "x",
    ],
)
def test_a_result_of_wrong_types_is_told(api, run, envelope, result):
    """Where it is wrong is named, as a path into the result."""
    api.answers(envelope(result))
    assert "does not have the API's format" in failed(run("trace", "192.0.2.1"))


@pytest.mark.parametrize("number", ["9" * 400, "1e999", "99999999999999999999", "NaN"])
def test_numbers_out_of_range_do_no_harm(api, run, envelope, colo_row, number):
    """No number ends the program: it is printed, or told as not of the shape."""
    rows = [{"target": "192.0.2.1", "colos": [colo_row()]}]
    text = str(envelope(rows)).replace("'", '"').replace("True", "true")
    api.answers(text.replace("1.0", number).replace(": 3", f": {number}").encode())
    result = run("trace", "192.0.2.1")
    assert result.exit_code in (0, 3)
    assert result.stdout or result.stderr


def test_a_redirect_is_not_followed(api, run):
    """The token goes to no other address than the one that was set."""
    api.answers(b"", status=302, headers={"location": "https://elsewhere.example/"})
    assert "redirect (302) to https://elsewhere.example/" in failed(run("trace", "192.0.2.1"))
    assert len(api.asked) == 1


def test_a_proxys_error_page_is_told_apart(api, run):
    """A status without the envelope does not come from a coordinator."""
    api.answers(b"<h1>Bad gateway</h1>", status=502, headers={"content-type": "text/html"})
    assert "HTTP 502 without the API's envelope" in failed(run("trace", "192.0.2.1"))


def test_a_body_cut_short_is_told(api, run):
    """The connection ends before the announced length."""
    api.answers(b'{"success": true', headers={"content-length": "1000"})
    told = failed(run("trace", "192.0.2.1"))
    assert "the connection broke" in told
    assert "if the measurement has begun, it is in: colotrace list" in told
    assert "colotrace list" not in failed(run("colos"))


def test_a_body_without_end_is_given_up(api, run, monkeypatch):
    """Not more than a bound is read, whatever is sent."""
    monkeypatch.setattr(client, "MOST_BYTES", 2**20)
    api.answers(b" " * 2**22)
    assert "more than 1 MiB" in failed(run("trace", "192.0.2.1"))


def test_nobody_listens(run):
    """A refused connection names the address and the two things to check."""
    with socket.socket() as bound:  # bound, never listening: nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        told = failed(run("trace", "192.0.2.1", "--url", url))
    assert f"{url}: no connection" in told
    assert "colotrace list" not in told  # nothing was sent
    assert "that the coordinator runs" in told


async def test_an_answer_that_does_not_come_is_given_up(api, environment):
    """The whole exchange has a bound."""
    api.never_answers()
    settings = plain(api.url)
    with pytest.raises(RequestError, match=r"did not finish its answer within 0\.2 s"):
        await client.exchange(settings, "GET", "/colos", timeout_s=0.2)


async def test_answer_that_came_while_the_command_was_stopped(api, environment):
    """For longer than it would have waited: the answer is read before the time is judged."""
    api.answers({"result": []})
    settings = plain(api.url)
    asyncio.get_running_loop().call_later(0.02, time.sleep, 1.5)
    reply = await client.exchange(settings, "GET", "/colos", timeout_s=1.0)
    assert reply.status == 200


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8080", "not an address like"),
        ("ftp://example.net", "not an address like"),
        ("http://", "not an address like"),
        ("http://[::1", "not an address like"),
        ("http://example.net:99999", "not an address like"),
        ("http://exa\x1bmple.net", "not an address like"),
        ("http://me:secret@example.net", "user name"),
        ("http://example.net/?a=b", "query"),
    ],
)
def test_a_url_that_is_none_is_told(run, url, words):
    """Exit code 2, before anything is sent, and nothing secret repeated."""
    result = run("trace", "192.0.2.1", "--url", url)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "secret" not in result.stderr


@pytest.mark.parametrize("token", ["two words", "tökén", "a\nb"])
def test_a_token_that_is_none_is_told(run, token):
    """Exit code 2, and the token is not repeated."""
    result = run("trace", "192.0.2.1", env={"COLOTRACE_TOKEN": token})
    assert result.exit_code == 2
    assert "COLOTRACE_TOKEN" in result.stderr
    assert token not in result.stderr


def serve_tls(api, authority, **options):
    """Serve with a certificate of this authority."""
    own = authority.issue("server", **{"also": "127.0.0.1", **options})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    api.server.socket = context.wrap_socket(api.server.socket, server_side=True)
    api.scheme = "https"


def test_a_private_ca_is_trusted_only_when_named(api, run, envelope, tmp_path):
    """Without --ca-file the request is not sent, and the message names the flag."""
    authority = Authority(tmp_path)
    serve_tls(api, authority)
    api.answers(envelope([]))
    assert "--ca-file" in failed(run("trace", "192.0.2.1", "--url", api.url))
    assert api.asked == []
    trusted = run("trace", "192.0.2.1", "--url", api.url, "--ca-file", str(authority.path))
    assert trusted.exit_code == 0
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"valid_h": (-2, -1)}, "has expired"),
        ({"valid_h": (1, 2)}, "not valid yet"),
        ({"also": "192.0.2.1"}, "another name"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_named(api, run, envelope, tmp_path, wrong, word):
    """Another CA would not help."""
    authority = Authority(tmp_path)
    serve_tls(api, authority, **wrong)
    api.answers(envelope([]))
    told = failed(run("trace", "192.0.2.1", "--url", api.url, "--ca-file", str(authority.path)))
    assert word in told
    assert "--ca-file" not in told


def test_tls_to_a_port_without_it_is_told(api, run, envelope):
    """An https URL of a plain http port."""
    api.answers(envelope([]))
    told = failed(run("trace", "192.0.2.1", "--url", api.url.replace("http:", "https:")))
    assert "TLS" in told


def test_a_ca_file_that_is_none_is_told(run, tmp_path):
    """A file that holds no certificates: exit code 2."""
    path = tmp_path / "ca.pem"
    path.write_text("not a certificate")
    result = run("trace", "192.0.2.1", "--url", "https://127.0.0.1", "--ca-file", str(path))
    assert result.exit_code == 2
    assert "not a file of PEM certificates" in result.stderr
