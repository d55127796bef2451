"""Names that PostgreSQL cannot be asked for."""

import pytest
from colotrace_coordinator.enrolment.administration import Administration
from colotrace_coordinator.errors import UnknownIdError
from colotrace_coordinator.store.database import Database


@pytest.mark.parametrize("name", ["a\0b", "\udc80"])
async def test_unprintable_name_is_that_of_nothing(database: Database, name: str) -> None:
    """And does not look as if the database had failed."""
    do = Administration(database)
    for act in (
        do.agent(name),
        do.forget(name),
        do.revoke(name),
        do.drain(name, drained=True),
        do.revoke_token(name),
        do.rename_colo(name, "den01"),
        do.forget_colo(name),
    ):
        with pytest.raises(UnknownIdError, match="nothing is called"):
            await act
