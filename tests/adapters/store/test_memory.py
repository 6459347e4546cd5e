"""The store in memory keeps the contract."""
from __future__ import annotations

import pytest

from hvproxy.adapters.store import Store
from hvproxy.adapters.store.memory import MemoryStore, Space
from tests.adapters.store.contract import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture(autouse=True)
    def space(self) -> None:
        self._space = Space()

    def open(self) -> Store:
        return MemoryStore(self._space)

    def die(self, store: Store) -> None:
        self._space.holder = None


def test_every_store_has_a_memory_of_its_own_and_promises_nothing() -> None:
    one, other = MemoryStore(), MemoryStore()
    for store in (one, other):
        assert store.lease().called
    one.commit({"a": b"1"}, ())
    loaded: list[object] = []
    other.load().addCallback(lambda snapshot: loaded.append(snapshot.records))
    assert loaded == [{}]
