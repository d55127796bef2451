"""Encrypts the CA's key for the database, under a secret that is not in the database."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from colotrace_coordinator.errors import SetupError

MIN_SECRET = 32
"""Characters: it is not stretched, so it must be random."""
_INFO = b"colotrace: key of the certificate authority"


class Seal:
    """Encrypts by Fernet (AES-128-CBC with HMAC-SHA256) with a key derived by HKDF (RFC 5869)."""

    def __init__(self, secret: str) -> None:
        """
        Raises:
            SetupError: the secret is too short.
        """
        if len(secret) < MIN_SECRET:
            raise SetupError(
                f"the secret of the CA's key has {len(secret)} characters; give at least "
                f"{MIN_SECRET} random ones, as `openssl rand -hex 32` prints"
            )
        derived = HKDF(SHA256(), length=32, salt=None, info=_INFO).derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def close(self, plain: bytes) -> bytes:
        """Encrypt."""
        return self._fernet.encrypt(plain)

    def open(self, closed: bytes) -> bytes:
        """Decrypt.

        Raises:
            SetupError: it was encrypted under another secret, or is damaged.
        """
        try:
            return self._fernet.decrypt(closed)
        except InvalidToken:
            raise SetupError(
                "the CA's key in the database cannot be read with this secret; give the secret "
                "that it was created with (COLOTRACE_CA_SECRET, or the file ca.secret)"
            ) from None
