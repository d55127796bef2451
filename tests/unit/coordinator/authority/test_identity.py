"""The identity in a certificate."""

import pytest
from colotrace_coordinator.authority.identity import AgentIdentity, IdentityId, identity_of
from colotrace_proto.messages import AgentId, ColoName

AGENT = AgentIdentity(IdentityId("0123456789abcdef"), ColoName("den01"), AgentId("probe-1.den01"))


def test_identity_is_read_from_its_uri() -> None:
    assert identity_of(["https://example.net/", AGENT.uri]) == AGENT


def test_certificate_of_another_ca_has_none() -> None:
    assert identity_of([]) is None
    assert identity_of(["https://example.net/", "spiffe://example.net/agent"]) is None


@pytest.mark.parametrize(
    "uris",
    [
        [AGENT.uri, AGENT.uri],
        ["colotrace:"],
        ["colotrace:den01/a/0123456789abcdef/x"],
        ["colotrace:DEN01/a/0123456789abcdef"],
        ["colotrace:den01/a b/0123456789abcdef"],
        ["colotrace:den01//0123456789abcdef"],
        ["colotrace:den01/a/0123456789ABCDEF"],
        ["colotrace:den01/a/0123456789abcde\u0661"],
    ],
)
def test_other_forms_are_refused(uris: list[str]) -> None:
    with pytest.raises(ValueError, match="unknown form"):
        identity_of(uris)
