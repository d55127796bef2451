"""The tables. Each change needs a migration; a test compares the migrations with this file.

Times are Unix seconds in UTC.
"""

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_HASH = String(64)


class Base(DeclarativeBase):
    """All tables of the coordinator."""


class Account(Base):
    """The owner of credentials."""

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created_at: Mapped[int] = mapped_column(BigInteger)


class Token(Base):
    """A bearer token, of which only the hash is stored. `permissions` are separated by spaces."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    sha256: Mapped[str] = mapped_column(_HASH, unique=True)
    permissions: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class Key(Base):
    """An e-mail (in lower case) and the hash of its key. A pair may be valid for many accounts."""

    __tablename__ = "keys"
    __table_args__ = (
        UniqueConstraint("account_id", "email", "sha256", name="keys_pair"),
        Index("keys_by_pair", "email", "sha256"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    email: Mapped[str] = mapped_column(String(254))
    sha256: Mapped[str] = mapped_column(_HASH)
    description: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class KnownColo(Base):
    """A colo for which an agent once attached. `forget_at` is NULL in rows of older versions, which
    are kept as if a certificate had confirmed the colo."""

    __tablename__ = "colos"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    city: Mapped[str] = mapped_column(String(128))
    last_seen_at: Mapped[int] = mapped_column(BigInteger)
    forget_at: Mapped[int | None] = mapped_column(BigInteger)


class AuditLine(Base):
    """One requested measurement. `targets`, `colos` and `options` are JSON."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[int] = mapped_column(BigInteger, index=True)
    request_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(String(32))
    credential_id: Mapped[str] = mapped_column(String(32))
    client: Mapped[str] = mapped_column(String(64))
    targets: Mapped[str] = mapped_column(Text)
    colos: Mapped[str] = mapped_column(Text)
    options: Mapped[str] = mapped_column(Text)
    status: Mapped[int] = mapped_column(Integer)
    duration_ms: Mapped[int] = mapped_column(Integer)
