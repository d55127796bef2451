"""Why a job, or one attempt at it, failed: the API's code, and a text.

The text names what is at fault and, if there is one, the remedy.
"""

import enum
from dataclasses import dataclass

from colotrace_proto.codes import RowCode
from colotrace_proto.failures import error_code
from colotrace_proto.identifiers import address_of
from colotrace_proto.messages import (
    AgentId,
    ColoName,
    Failure,
    Family,
    Outcome,
    PacketType,
    RefusalReason,
    Refused,
)
from colotrace_proto.notices import Notice, sentence

from .starts import Gate
from .target_rates import TargetLimits

DELAYED_S = 1.0
"""A job without enough time names the coordinator if that has delayed it by this much."""


class Weight(enum.IntEnum):
    """Priority among the faults of several attempts: the attempt that came furthest counts."""

    UNABLE = 0
    FORBIDDEN = 1
    BUSY = 2
    LOST = 3
    FINAL = 4


@dataclass(frozen=True, slots=True)
class Fault:
    """A row's code (`RowCode`), its priority, and the text. `own`: whether it is this
    coordinator's load, not an agent, that took the time. `trouble`: what to tell of the agent
    itself, without a word about the job; "" if it is not at fault."""

    code: int
    weight: Weight
    words: str
    own: bool = False
    trouble: str = ""


def no_agent(colo: ColoName) -> Fault:
    """No agent is attached."""
    words = f"no agent of {colo} is attached; check that one runs there and reaches the coordinator"
    return Fault(RowCode.NO_AGENT, Weight.UNABLE, words)


def blocked(colo: ColoName, why: str) -> Fault:
    """No agent can be offered the job. That outweighs why other agents refused."""
    return Fault(RowCode.NO_AGENT, Weight.BUSY, f"no agent of {colo} can be asked: {why}")


def all_draining(colo: ColoName, *, drained: int, away: int, of: int) -> Fault:
    """Of all attached agents, so many are drained by an operator, or are missing at the broker, and
    the others are stopping."""
    whys = {
        "is drained by an operator": drained,
        "is being stopped": of - drained - away,
        "is missing at the broker": away,
    }
    why = " or ".join(words for words, number in whys.items() if number)
    if away == of:
        end = "; check its log and its network"
    else:
        end = " and takes no new job" if " or " not in why else ""
    return Fault(RowCode.NO_AGENT, Weight.UNABLE, f"every agent of {colo} {why}{end}")


def no_packet_type(colo: ColoName, packet_type: PacketType) -> Fault:
    """No agent supports the packet type."""
    words = f"no agent of {colo} can send {packet_type} probes; a newer agent may"
    return Fault(RowCode.NO_AGENT, Weight.UNABLE, words)


def no_choice_of_family(colo: ColoName) -> Fault:
    """The agents choose the family themselves."""
    words = f"no agent of {colo} can be told which address family to use; a newer agent can"
    return Fault(RowCode.NO_AGENT, Weight.UNABLE, words)


def no_family(colo: ColoName, family: Family | None) -> Fault:
    """No agent has an address of the target's family; None means of any family."""
    kind = "address" if family is None else f"IPv{family.value} address"
    words = f"no agent of {colo} has an {kind} to trace from"
    return Fault(RowCode.UNTRACEABLE, Weight.FORBIDDEN, words)


def busy(colo: ColoName) -> Fault:
    """All agents were busy until the deadline."""
    words = f"every agent of {colo} was busy until the time ran out; ask for less at once"
    return Fault(RowCode.NO_AGENT, Weight.BUSY, words)


def overloaded(colo: ColoName) -> Fault:
    """The job waited for this coordinator until the time ran out."""
    words = (
        f"the coordinator is overloaded and had no time to ask {colo}; ask for less at once, or "
        "run more coordinators"
    )
    return Fault(RowCode.LOST, Weight.FINAL, words, own=True)


def withdrawn() -> Fault:
    """The whole measurement was cancelled."""
    words = "the measurement was cancelled before this row ended"
    return Fault(RowCode.LOST, Weight.FINAL, words)


def not_started(colo: ColoName, waited_for: Gate, limits: TargetLimits) -> Fault:
    """The job did not start before its time ran out."""
    match waited_for:
        case Gate.COORDINATOR:
            return overloaded(colo)
        case Gate.TARGET:
            return target_limited(colo, limits)
        case Gate.COLO:
            return busy(colo)


def target_limited(colo: ColoName, limits: TargetLimits) -> Fault:
    """The job waited for the rate of packets to its target until the time ran out."""
    words = (
        f"the limit of {limits.of_account:g} packets a second to one target ({limits.in_all:g} for "
        f"all accounts) left no time for {colo}; ask for fewer colos or packets at once"
    )
    return Fault(RowCode.LOST, Weight.FINAL, words)


def refused(agent: AgentId, refusal: Refused) -> Fault:
    """The agent refused the offer."""
    code, weight, cause = RowCode.NO_AGENT, Weight.UNABLE, refusal.notice
    trouble = "it refused a job"
    match refusal.reason:
        case RefusalReason.POLICY:
            code, weight = RowCode.UNTRACEABLE, Weight.FORBIDDEN
            words, trouble = f"the owner of agent {agent} forbids it", ""
        case RefusalReason.NO_FAMILY:
            code, weight = RowCode.UNTRACEABLE, Weight.FORBIDDEN
            words = f"agent {agent} has no working address of the target's family"
            trouble += ", since it had no working address of the target's family"
        case RefusalReason.BUSY:
            trouble += ", since it was busy"
            return Fault(code, Weight.BUSY, f"agent {agent} is busy", trouble=trouble)
        case RefusalReason.DRAINING:
            return Fault(code, weight, f"agent {agent} is being stopped")
        case RefusalReason.UNSUPPORTED:
            words = f"agent {agent} does not know what is asked of it; a newer agent may"
            trouble += ", since it did not know what was asked of it; a newer agent may"
        case RefusalReason.NO_SOCKET:
            words = f"agent {agent} cannot send probes; look at its log"
            trouble += ", since it could not send probes; look at its log"
        case RefusalReason.UNSPECIFIED:
            words = f"agent {agent} refused"
    return _because(code, weight, words, cause, trouble=trouble)


def unanswered(agent: AgentId, after_s: float) -> Fault:
    """The agent neither accepted nor refused."""
    what = f"did not answer the offer within {after_s:g} s"
    return _lost(f"agent {agent} {what}", trouble=f"it {what}")


def untaken(colo: ColoName, after_s: float) -> Fault:
    """The offer was published to the colo, and no agent answered."""
    return _lost(
        f"none of {colo}'s agents took the job within {after_s:g} s of its being published"
    )


def silent(agent: AgentId, after_s: float) -> Fault:
    """The agent's stream is up, but nothing arrives."""
    what = f"fell silent while tracing: nothing came for {after_s:g} s"
    return _lost(f"agent {agent} {what}", trouble=f"it {what}")


def lost(agent: AgentId) -> Fault:
    """The agent's stream ended, and it did not reconnect in time."""
    return _lost(f"agent {agent} was lost while tracing", trouble="it was lost while tracing")


def restarted(agent: AgentId) -> Fault:
    """Another process of the agent has attached."""
    return _lost(f"agent {agent} restarted while tracing", trouble="it restarted while tracing")


def revoked(agent: AgentId) -> Fault:
    """An operator has revoked the agent."""
    return _lost(f"agent {agent} was revoked while it traced", trouble="it was revoked")


def forgotten(agent: AgentId) -> Fault:
    """The agent reconnected without the job."""
    what = "lost its connection, and the job with it"
    return _lost(f"agent {agent} {what}", trouble=f"it {what}")


def misbehaved(agent: AgentId, what: str) -> Fault:
    """The agent violates the protocol; `what` is in this program's words."""
    return _lost(f"agent {agent} is at fault: {what}", trouble=f"it is at fault: {what}")


def out_of_time(agent: AgentId, *, delayed_s: float) -> Fault:
    """The deadline of the job came while it ran; this coordinator had delayed it so long."""
    what = "had not finished when the answer was due"
    words = f"agent {agent} {what}"
    own = delayed_s >= DELAYED_S
    if own:
        words += f"; the coordinator is overloaded, and delayed it by {delayed_s:.1f} s"
    trouble = "" if own else f"it {what}"
    return Fault(RowCode.LOST, Weight.FINAL, f"{words}; ask for less at once", own, trouble)


def ended(agent: AgentId, outcome: Outcome, *, delayed_s: float) -> Fault | None:
    """The fault that an agent's outcome reports; None if the target was traced. `delayed_s`: as for
    `out_of_time`."""
    weight, cause, trouble = Weight.FINAL, outcome.cause, ""
    match outcome.failure:
        case Failure.NONE:
            return None
        case Failure.UNRESOLVABLE:
            words = f"the name does not resolve as seen by agent {agent}"
        case Failure.NO_FAMILY:
            weight = Weight.FORBIDDEN
            words = f"the target has no address of a family that agent {agent} has"
        case Failure.POLICY:
            weight = Weight.FORBIDDEN
            words = f"the owner of agent {agent} forbids it"
            # Only names are refused at that point; a caller must not learn their addresses.
            if cause is not None and _names_an_address(sentence(cause)):
                cause = None
        case Failure.SEND:
            words = f"agent {agent} could not send the probes"
            trouble = "it could not send the probes of a job"
        case Failure.DEADLINE:
            return out_of_time(agent, delayed_s=delayed_s)
        case Failure.CANCELLED:
            weight = Weight.LOST
            words, trouble = f"agent {agent} gave the job up", "it gave a job up"
        case Failure.INTERNAL | Failure.UNSPECIFIED:
            why = sentence(cause) if cause else "it gave no reason"
            trouble = "it had a fault of its own while tracing; look at its log"
            return _lost(f"agent {agent} is at fault: {why}", trouble=trouble)
    return _because(error_code(outcome.failure), weight, words, cause, trouble=trouble)


def _lost(words: str, *, trouble: str = "") -> Fault:
    return Fault(RowCode.LOST, Weight.LOST, words, trouble=trouble)


def _names_an_address(words: str) -> bool:
    """Whether the text contains an address, as that of agents before 0.2 does."""
    return any(address_of(word.strip(",.;:()[]")) is not None for word in words.split())


def _because(code: int, weight: Weight, words: str, cause: Notice | None, *, trouble: str) -> Fault:
    text = f"{words}: {sentence(cause)}" if cause else words
    return Fault(code, weight, text, trouble=trouble)
