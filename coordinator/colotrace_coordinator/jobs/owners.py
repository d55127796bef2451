"""The owner of a job: the numbers by which agents share their packets and places."""

from functools import lru_cache
from hashlib import blake2b

from colotrace_proto.messages import Owner

from .fair import Origin

_KEPT = 4_096
_BYTES = 4


def owner_of(origin: Origin) -> Owner:
    """The numbers of the account and the caller: digests, so that all coordinators have the same
    without asking each other, and agents are told no names."""
    return _owner(origin.account, origin.caller)


@lru_cache(maxsize=_KEPT)
def _owner(account: str, caller: str) -> Owner:
    return Owner(_number(account), _number(account, caller))


def _number(*names: str) -> int:
    digest = blake2b("\0".join(names).encode(), digest_size=_BYTES, person=b"colotrace owner")
    return int.from_bytes(digest.digest())
