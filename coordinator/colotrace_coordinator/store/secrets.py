"""How tokens and keys are made, and what is kept of them.

A generated secret has at least 148 random bits, and one taken over from elsewhere at least 32
characters, so that a plain SHA-256 cannot be searched backwards: a slow hash would only slow
every request.
"""

import hashlib
import secrets

MIN_KEY = 32
MAX_SECRET = 256


def new_id() -> str:
    """What a token or key is called in lists and by `revoke`."""
    return secrets.token_hex(6)


def new_token() -> str:
    """40 URL-safe characters, 216 random bits; the prefix lets secret scanners find it."""
    return "ctr_" + secrets.token_urlsafe(27)


def new_key() -> str:
    """37 hexadecimal digits, as global API keys look."""
    return secrets.token_hex(19)[:37]


def sha256(secret: str) -> str:
    """What is stored of a secret, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def short_digest(secret: str) -> bytes:
    """The first 8 bytes of what is stored: enough to tell which secrets may be somebody's."""
    return shorten(sha256(secret))


def shorten(digest: str) -> bytes:
    """`short_digest` of the secret that `sha256` gives this digest of."""
    return bytes.fromhex(digest[:16])
