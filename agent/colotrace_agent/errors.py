"""The agent's exceptions: one tree. A module in parentheses defines its own.

    AgentError
    ├── StartError                     it cannot start on this host; the text names the remedy
    │   ├── EnrolmentError                 (enrolment.client) the coordinator gives no certificate
    │   │   └── OtherAuthorityError            (enrolment.client) it has another CA
    │   └── PrivilegeError                 it may not send raw packets, or keeps other privileges
    ├── NoFlowLeftError                (engine.identity) all flows to a target are in use
    ├── UnresolvableError              (host.resolve) a name has no address
    ├── LookupQueueFullError           (host.lookups) a look-up cannot be queued
    ├── StreamEndedError               (link.status)      the stream to a coordinator has ended
    ├── CoordinatorCertificateError    (link.tls) the coordinator's certificate is not accepted
    ├── AgentCertificateError          (link.tls) the coordinator refused this agent's certificate
    ├── ServiceError                   (host.service) the systemd unit did not start
    ├── UnansweredError                (link.trial) a call is not answered in time
    ├── LargeUnansweredError           (link.trial) only small calls are answered
    └── SupersededError                (link.mqtt) a later process has this agent's id

`main` turns a `StartError` into exit code 2. `job.shell` and `commands.bulk` turn what keeps a
target from being traced into failures of that job, `link.stream` and `link.mqtt` what ends a
connection into the next attempt.
"""


class AgentError(Exception):
    """Base of all."""


class StartError(AgentError):
    """The program cannot run as it was started; the text names fault and remedy."""


class PrivilegeError(StartError):
    """The process may not send raw packets, or cannot give up its other privileges."""
