"""Where the database is, and who owns its files."""

import os
from pathlib import Path

import pytest
from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.store.location import locate, prepare

SERVICE = 12_345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root acts for the service's user")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A service's directory."""
    directory = tmp_path / "data"
    directory.mkdir()
    os.chown(directory, SERVICE, SERVICE)
    return directory


@as_root
def test_file_that_root_creates_is_the_services(directory: Path) -> None:
    file = directory / "database"
    prepare(file)
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (SERVICE, 0o600)


@as_root
def test_link_of_the_service_gives_it_no_file_of_root(directory: Path) -> None:
    """Whoever broke into the service would otherwise become root with the next command of root."""
    of_root = directory.parent / "shadow"
    of_root.write_text("secret")
    (directory / "database").symlink_to(of_root)
    prepare(directory / "database")
    assert of_root.stat().st_uid == 0


@as_root
def test_nothing_is_created_where_a_link_leads(directory: Path) -> None:
    (directory / "database").symlink_to(directory.parent / "new")
    with pytest.raises(SetupError, match="cannot write"):
        prepare(directory / "database")
    assert not (directory.parent / "new").exists()


@pytest.mark.parametrize("url", ["user:SECRET@db/colotrace", "db/colotrace?password=SECRET"])
def test_password_is_in_no_message(url: str) -> None:
    location = locate(data=None, database=f"postgresql://{url}")
    assert "SECRET" not in f"{location} {location!r}"
    assert location.url.password == "SECRET"
