"""Errors of the API, through the official SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cloudflare
import pytest
from cloudflare import Cloudflare
from eventually import wait_until
from fleet import ACCOUNT, Fleet
from lab import LAME_DOMAIN, Lab

pytestmark = pytest.mark.xdist_group("fleet")


def test_unknown_colo(client: Cloudflare) -> None:
    """An unknown colo gives a 400 that points at it."""
    with pytest.raises(cloudflare.BadRequestError) as caught:
        client.diagnostics.traceroutes.create(
            account_id=ACCOUNT, targets=["web.lab.example"], colos=["den01", "xyz"]
        )
    (error,) = caught.value.response.json()["errors"]
    assert (error["code"], error["message"]) == (1005, "Colo is not a valid colo")
    assert error["source"]["pointer"] == "/colos/1"


def test_bad_token(fleet: Fleet) -> None:
    """An unknown token gives a 401, for which the SDK raises its own class."""
    with (
        Cloudflare(base_url=fleet.base_url, api_token="x" * 40, max_retries=0) as client,
        pytest.raises(cloudflare.AuthenticationError) as caught,
    ):
        client.diagnostics.traceroutes.create(account_id=ACCOUNT, targets=["web.lab.example"])
    assert caught.value.response.json()["errors"][0]["code"] == 10000


def test_revoked_token_is_told_from_a_wrong_one(fleet: Fleet) -> None:
    """By its status where the request is about the token, by the cause of the error elsewhere."""
    token = fleet.command("token", "create", "--account", ACCOUNT).strip()
    with Cloudflare(base_url=fleet.base_url, api_token=token, max_retries=0) as client:
        verified = client.user.tokens.verify()
        assert verified is not None
        assert verified.status == "active"
        assert [account.id for account in client.accounts.list()] == [ACCOUNT]
        fleet.command("token", "revoke", verified.id)

        def disabled() -> bool:
            again = client.user.tokens.verify()
            return again is not None and again.status == "disabled"

        wait_until(disabled, within_s=20)
        with pytest.raises(cloudflare.AuthenticationError) as caught:
            client.diagnostics.traceroutes.create(account_id=ACCOUNT, targets=["web.lab.example"])
    [error] = caught.value.response.json()["errors"]
    assert (error["code"], error["error_chain"][0]["code"]) == (10000, 1027)


def test_email_and_key(fleet: Fleet) -> None:
    """E-mail and key are accepted, also an imported key."""
    key = "0123456789abcdef0123456789abcdef01234"
    email = "operator@example.com"
    assert (
        fleet.command("key", "create", "--account", ACCOUNT, "--email", email, "--key", key).strip()
        == key
    )
    with Cloudflare(base_url=fleet.base_url, api_email=email, api_key=key, max_retries=0) as client:
        (row,) = client.diagnostics.traceroutes.create(
            account_id=ACCOUNT, targets=["web.lab.example"], colos=["fra"]
        )
    assert row.colos


def test_names_that_do_not_resolve(
    fleet: Fleet, lab: Lab, check_answer: Callable[[Any], None]
) -> None:
    """A name without an address, and one whose servers do not answer: Code 3 with a message."""
    body = {
        "targets": ["nobody.lab.example", f"x.{LAME_DOMAIN}", lab.address("web")],
        "colos": ["den01"],
    }
    answer = fleet.trace(body)
    check_answer(answer)
    errors = [row["colos"][0]["error"] for row in answer["result"]]
    assert errors == ["Could not gather traceroute data: Code 3"] * 2 + [""]
    assert [message["source"]["pointer"] for message in answer["messages"]] == [
        "/result/0/colos/0",
        "/result/1/colos/0",
    ]
    assert all("does not resolve" in message["message"] for message in answer["messages"])
    assert all(message["code"] >= 1000 for message in answer["messages"])
    assert answer["result"][0]["colos"][0]["target_summary"]["ip"] == ""
