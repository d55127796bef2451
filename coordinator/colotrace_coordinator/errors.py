"""The coordinator's exceptions.

    CoordinatorError
    ├── SetupError                 it cannot start as it was told; the text names the remedy
    │   └── ListenError                 an address cannot be listened on now; it may be later
    ├── CutOffError                the broker is out of reach; the text says why
    ├── StoppingError              it is stopping, and takes no new request
    ├── StoreError                 storage; the text names the remedy
    │   ├── StoreUnavailableError       the database does not answer
    │   └── UnknownIdError              no such token or key
    └── api.errors.ApiError        a request that is answered with an error
        └── …                      one class for each row of the API's table

`api.errors.describe` is the one place that turns them into the API's statuses and codes.
"""


class CoordinatorError(Exception):
    """Whatever the coordinator says went wrong."""


class SetupError(CoordinatorError):
    """The program cannot start as it was told to."""


class ListenError(SetupError):
    """An address is not this host's, or another process has it: that may pass."""


class CutOffError(CoordinatorError):
    """Agents cannot be asked: the broker is out of reach."""


class StoppingError(CoordinatorError):
    """The coordinator is stopping and takes no new request."""


class SupersededError(CoordinatorError):
    """A later process holds the agent's id, or several processes share it."""


class RegistryFullError(CoordinatorError):
    """A bound on attached agents or known colos is reached."""


class StoreError(CoordinatorError):
    """Storage refuses."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or broke off."""


class UnknownIdError(StoreError):
    """There is no token or key of that id."""
