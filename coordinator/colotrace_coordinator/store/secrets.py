"""Generates tokens and keys, and hashes them for storage.

A generated secret has at least 148 random bits, and an imported one at least 32 characters. Neither
can be found by searching hashes, so plain SHA-256 is enough. A slow password hash would only slow
down every request.
"""

import hashlib
import secrets

MIN_KEY = 32
MAX_SECRET = 256


def new_id() -> str:
    """The id of a token or key, for lists and `revoke`."""
    return secrets.token_hex(6)


def new_token() -> str:
    """40 URL-safe characters with 216 random bits. Secret scanners recognise the prefix."""
    return "ctr_" + secrets.token_urlsafe(27)


def new_key() -> str:
    """37 hexadecimal digits, the form of the public API's global keys."""
    return secrets.token_hex(19)[:37]


def sha256(secret: str) -> str:
    """The stored hash of a secret, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def short_digest(secret: str) -> bytes:
    """The first 8 bytes of the stored hash, to recognise valid secrets without a query."""
    return shorten(sha256(secret))


def shorten(digest: str) -> bytes:
    """`short_digest` of the secret with this `sha256`."""
    return bytes.fromhex(digest[:16])
