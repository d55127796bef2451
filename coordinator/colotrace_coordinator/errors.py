"""The coordinator's exceptions: one tree. A module in parentheses defines its own.

    CoordinatorError
    ├── SetupError                     it cannot start as configured; the text names the remedy
    │   ├── NoAuthorityError               the database has no certificate authority yet
    │   ├── ListenError                    an address cannot be listened on now; it may be later
    │   ├── TlsError                       (links.direct.tls) its certificates cannot be used
    │   ├── AsnFileError                   (enrich.asn) the ASN file cannot be used
    │   └── ResolverError                  (enrich.servers) the name servers cannot be used
    ├── StoppingError                  it is stopping, and takes no new request
    ├── BrokerUnreachableError         jobs cannot be published; the text says why
    ├── EventTooLargeError             (peers.relay.runner) too large for other coordinators
    ├── InvalidReportError             another coordinator's report cannot be decoded
    ├── StoreError                     storage; the text names the remedy
    │   ├── StoreUnavailableError          the database does not answer
    │   ├── DamagedMeasurementError        a stored measurement cannot be read
    │   ├── BackupFileError                (store.backup.archive) a backup cannot be used
    │   ├── RestoreRefusedError            (store.backup.restoring) the target is in use, or full
    │   └── UnknownIdError                 no such token, key, agent or colo
    ├── EnrolmentRefusedError          an agent may not join or renew so; the text has the remedy
    ├── NameTakenError                 another agent has the name that one is to get
    ├── NotEnrolledError               an agent that has not enrolled cannot be changed here
    ├── TooManyTokensError             as many join tokens are valid as may be
    ├── StillAttachedError             an agent that is attached would be listed again
    ├── DamageError                    (store.history.seal) stored bytes are not as written
    ├── SelectorError                  (colos.selectors) a selector's value cannot be used
    │   └── UnknownSelectorError           there is no such selector
    ├── SupersededError                a later process holds the agent's id
    ├── RegistryFullError              a bound on agents or colos is reached
    ├── SigningRequestError            (authority.authority) a signing request is not accepted
    ├── CertificateError               (links.direct.tls) an agent's certificate is not accepted
    ├── StreamClosedError              (links.direct.stream) an agent's stream is to end
    ├── FramingError                   (api.http.framing) what came is not HTTP
    └── ApiError                       (api.errors) a request is answered with an error
        └── …                              one class for each row of the API's table

`api.errors.describe` is the one place that turns them into the API's statuses and codes.
`fleet.fleet` turns those of the registry into rejections, `links.direct` those of a stream into
gRPC statuses, and `main` the rest into exit codes.
"""


class CoordinatorError(Exception):
    """Base of all."""


class SetupError(CoordinatorError):
    """The program cannot start as configured."""


class ListenError(SetupError):
    """An address is not this host's, or another process uses it: trying later may help."""


class BrokerUnreachableError(CoordinatorError):
    """No job can be published."""


class InvalidReportError(CoordinatorError):
    """A report of another coordinator exceeds a bound, or cannot be decoded."""


class StoppingError(CoordinatorError):
    """The coordinator is stopping and takes no new request."""


class SupersededError(CoordinatorError):
    """A later process holds the agent's id, or several processes share it."""


class RegistryFullError(CoordinatorError):
    """A bound on attached agents or known colos is reached."""


class StoreError(CoordinatorError):
    """The database refuses a request."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or its connection broke."""


class NameTakenError(CoordinatorError):
    """Another agent has the name that one is to get."""


class NotEnrolledError(CoordinatorError):
    """The agent has not enrolled, so that this coordinator cannot change it."""


class TooManyTokensError(CoordinatorError):
    """As many join tokens are valid as may be."""


class NoAuthorityError(SetupError):
    """The database has no certificate authority yet."""

    def __init__(self) -> None:
        super().__init__(
            "this database has no certificate authority yet; start the coordinator once, by "
            "colotrace-coordinator serve without --insecure and --agent-ca"
        )


class StillAttachedError(CoordinatorError):
    """The agent is attached, and would be listed again at once."""


class EnrolmentRefusedError(CoordinatorError):
    """An agent may not join, or not renew its certificate; the text says why and what to do."""


class DamagedMeasurementError(StoreError):
    """What the database has of one measurement is not as it was written."""


class UnknownIdError(StoreError):
    """There is no token, key, agent or colo of that id."""
