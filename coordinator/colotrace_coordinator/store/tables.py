"""The tables. Each change needs a migration; a test compares the migrations with this file.

Times are Unix seconds in UTC. Ids of measurements are 16 bytes, which sort by time.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
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
    are kept as if a certificate had confirmed the colo. `tags` are KEY=VALUE, separated by spaces,
    of the agents that were attached last."""

    __tablename__ = "colos"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    city: Mapped[str] = mapped_column(String(128))
    last_seen_at: Mapped[int] = mapped_column(BigInteger)
    forget_at: Mapped[int | None] = mapped_column(BigInteger)
    tags: Mapped[str] = mapped_column(Text, server_default="")


class AuditLine(Base):
    """One action of a client (`audit.Action`). `targets`, `colos` and `options` are JSON, those of
    the measurement."""

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
    action: Mapped[str] = mapped_column(String(16), server_default="measure")
    measurement_id: Mapped[str] = mapped_column(String(32), server_default="")


class Measurement(Base):
    """A measurement. `head` and `body` are blobs (see `history.heads`); `body` is NULL until it has
    ended. `size` is about what it occupies with its chunks and words, in bytes."""

    __tablename__ = "measurements"

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    account_id: Mapped[str] = mapped_column(String(32))
    size: Mapped[int] = mapped_column(BigInteger)
    head: Mapped[bytes] = mapped_column(LargeBinary)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class MeasurementChunk(Base):
    """Rows of a measurement that were written before its end, or do not all fit into its body.
    `rows` are their numbers (see `history.columns`), `traces` is a blob (see `history.packing`)."""

    __tablename__ = "measurement_chunks"

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    rows: Mapped[bytes] = mapped_column(LargeBinary)
    traces: Mapped[bytes] = mapped_column(LargeBinary)


class MeasurementWord(Base):
    """What a measurement is found by (see `history.words`)."""

    __tablename__ = "measurement_words"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - as SQLAlchemy declares it

    word: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)


class MeasurementAccount(Base):
    """About how many bytes an account's measurements occupy."""

    __tablename__ = "measurement_accounts"

    account_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)


class CoordinatorBeat(Base):
    """A coordinator with running measurements. `beat_ms`: when it last wrote, in milliseconds of
    Unix time by the database's clock."""

    __tablename__ = "coordinators"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    beat_ms: Mapped[int] = mapped_column(BigInteger)


class StoredAuthority(Base):
    """The certificate authority: the first has id 1, and each that replaces another one the next
    number. `certificate` is PEM, `sealed_key` is encrypted (see `authority.sealed`). `address`:
    where agents enrol, HOST:PORT; "" until a coordinator has served. It signs from `signs_at` on;
    `crossed` is its certificate by the one before, PEM. Once it is retired, nobody trusts it. Times
    are Unix seconds."""

    __tablename__ = "authorities"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    certificate: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_key: Mapped[bytes] = mapped_column(LargeBinary)
    address: Mapped[str] = mapped_column(String(300))
    created_at: Mapped[int] = mapped_column(BigInteger)
    signs_at: Mapped[int] = mapped_column(BigInteger, server_default="0")
    retired_at: Mapped[int | None] = mapped_column(BigInteger)
    crossed: Mapped[bytes | None] = mapped_column(LargeBinary)


class Enrolment(Base):
    """A join token, of whose secret only the hash is stored. It enrols `uses` agents of a colo."""

    __tablename__ = "enrolments"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    sha256: Mapped[str] = mapped_column(_HASH, unique=True)
    colo: Mapped[str] = mapped_column(String(32))
    city: Mapped[str] = mapped_column(String(128))
    uses: Mapped[int] = mapped_column(Integer)
    used: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class EnrolledAgent(Base):
    """An agent with a certificate of the authority. `key_sha256`: the hash of the key that it was
    certified for last, and `certified_name` COLO/AGENT-ID in that certificate; NULL if that is the
    name here. Rows of revoked agents stay until the last certificate has ended for long,
    so that it is refused; `forgotten` ones are not listed. `changed_ms`: the last change of
    another column, in milliseconds by the database's clock."""

    __tablename__ = "agents"
    __table_args__ = (
        Index(
            "agents_by_name",
            "colo",
            "agent_id",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    colo: Mapped[str] = mapped_column(String(32))
    agent_id: Mapped[str] = mapped_column(String(64))
    city: Mapped[str] = mapped_column(String(128))
    key_sha256: Mapped[str] = mapped_column(_HASH)
    enrolled_at: Mapped[int] = mapped_column(BigInteger)
    certificate_ends_at: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    drained: Mapped[bool] = mapped_column(Boolean)
    forgotten: Mapped[bool] = mapped_column(Boolean)
    certified_name: Mapped[str | None] = mapped_column(String(100))
    changed_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class SeenAgent(Base):
    """What an agent has told last, and whether it is attached, enrolled or not. `coordinator` is
    the one that has written it last; while it runs, it renews `seen_at`. `enrolled`: the row is
    only of interest together with that of an enrolled agent, which may have been renamed or
    forgotten meanwhile. `families` are numbers, separated by spaces. What the process uses is NULL
    if it has not told it."""

    __tablename__ = "agents_seen"

    colo: Mapped[str] = mapped_column(String(32), primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    coordinator: Mapped[str] = mapped_column(String(64))
    enrolled: Mapped[bool] = mapped_column(Boolean)
    host: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    families: Mapped[str] = mapped_column(String(16))
    attached: Mapped[bool] = mapped_column(Boolean)
    attached_since: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[int] = mapped_column(BigInteger, index=True)
    cpu_millis: Mapped[int | None] = mapped_column(BigInteger)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    trouble: Mapped[str | None] = mapped_column(Text)
    trouble_at: Mapped[int | None] = mapped_column(BigInteger)
