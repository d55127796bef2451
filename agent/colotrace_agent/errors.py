"""What keeps the agent from running on this host.

StartError                2  fault and remedy, for one line on standard error
└── PrivilegeError           it may not send raw packets, or cannot give up its other rights
"""


class StartError(Exception):
    """The program cannot run as it was started; the text names fault and remedy."""


class PrivilegeError(StartError):
    """The process may not send raw packets, or cannot give up its other rights."""
