"""Agents attached by a gRPC stream each, without a broker."""

from .server import BindError, DirectLink
from .tls import TlsError, TlsFiles

__all__ = ["BindError", "DirectLink", "TlsError", "TlsFiles"]
