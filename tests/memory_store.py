"""A store for `keys.Keyring` that keeps its rows in memory, for tests of what the keys are for."""

from __future__ import annotations

from datetime import UTC, datetime

from kit.keys import Keyring

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


class Memory:
    """Where a keyring lives as long as the test."""

    generation = 1

    def create(self, rows, *, generation=1):
        """Keep the first rows."""
        self.rows = list(rows)

    def load(self, *, at_least=0):
        """Return them."""
        return self.rows

    def save(self, rows):
        """Replace them."""
        self.rows = list(rows)


def new_keyring(*more):
    """Return a real keyring with a key of each purpose, and of those given."""
    keyring = Keyring.create(Memory(), now=NOW)
    for purpose in more:
        keyring.add(purpose, now=NOW)
    return keyring
