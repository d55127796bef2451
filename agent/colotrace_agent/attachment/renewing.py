"""The listener at which the agent renews its certificate, and the coordinator's clock."""

from colotrace_proto.certificates import UNREADABLE
from colotrace_proto.enrolment import JOIN_ANEW
from colotrace_proto.findings import Finding, fail, ok, warn
from colotrace_proto.spans import span
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from colotrace_agent.enrolment.client import Enroller, EnrolmentError, OtherAuthorityError

from .uplink import Uplink

_ANSWER_S = 6.0


def findings(uplink: Uplink) -> list[Finding]:
    """Ask the listener for the CA's certificate, as `join` does. Nothing is renewed."""
    if uplink.state is None or uplink.tls is None:
        return []
    check, join = "renewal", uplink.state.join
    try:
        known = x509.load_pem_x509_certificates(uplink.tls.read().authority)
    except UNREADABLE as error:
        return [fail(check, f"the CA's certificate cannot be read: {error}", JOIN_ANEW)]
    enroller = Enroller(join, within_s=_ANSWER_S)
    try:
        # There are two while one CA replaces the other.
        enroller.authority(*(each.fingerprint(SHA256()) for each in known))
    except OtherAuthorityError:
        return [
            warn(
                check,
                f"{join} has another certificate authority than this agent knows",
                "join anew if the coordinator has a new database; otherwise somebody else answers "
                f"at {join}",
            )
        ]
    except EnrolmentError as error:
        remedy = f"open {join} from this host: the certificate is renewed there"
        return [warn(check, str(error), remedy)]
    return [ok(check, f"{join} answers"), judge_clock(enroller.clock_off_s)]


def judge_clock(ahead_s: float) -> Finding:
    """`ahead_s`: by how much this host's clock is ahead; 0 if by less than a minute."""
    check = "clock, and the coordinator's"
    if not ahead_s:
        return ok(check, "agree within a minute")
    which = "ahead of" if ahead_s > 0 else "behind"
    return warn(
        check,
        f"this host's clock is {span(abs(ahead_s))} {which} the coordinator's",
        "set the clock that is wrong, and run a time service on both hosts (chrony, "
        "systemd-timesyncd): certificates depend on it",
    )
