"""Address leases: lowest free first, never twice, given back."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontend.state import leases
from tests.frontend.cloud import Cloud


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    reserved=st.integers(0, 15),
    steps=st.lists(st.integers(-1, 15), max_size=60),
)
def test_lowest_free_address_is_leased_whatever_was_freed_before(
    tmp_path_factory, reserved: int, steps: list[int]
) -> None:
    cloud = Cloud(tmp_path_factory.mktemp("leases"))
    free = set(range(16)) - {reserved}
    held: set[int] = set()
    with cloud.env.begin(write=True) as raw:
        txn = cloud.store.wrap(raw)
        leases.set_ranges(txn, 0, 0, 15, {reserved})
        # A neighbour that must not be touched.
        leases.set_ranges(txn, 1, 0, 15, set())
        for step in steps:
            if step < 0:
                wanted = min(free, default=None)
                assert leases.take_lowest(txn, 0, 7) == wanted
                if wanted is not None:
                    free.discard(wanted)
                    held.add(wanted)
            elif step in held:
                leases.free(txn, 0, step)
                held.discard(step)
                free.add(step)
        assert [address for address, _ in leases.held(txn, 0)] == sorted(held)
        assert leases.take_lowest(txn, 1, 7) == 0
        raw.abort()
    cloud.env.close()


def test_neighbouring_free_ranges_merge(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path)
    with cloud.env.begin(write=True) as raw:
        txn = cloud.store.wrap(raw)
        leases.set_ranges(txn, 0, 10, 20, set())
        for _ in range(5):
            leases.take_lowest(txn, 0, 1)
        for address in (11, 13, 12, 10, 14):
            leases.free(txn, 0, address)
        assert len(list(txn.scan("leases_free"))) == 1
        assert leases.take_lowest(txn, 0, 1) == 10


def test_address_outside_a_moved_range_is_not_leased_again(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path)
    with cloud.env.begin(write=True) as raw:
        txn = cloud.store.wrap(raw)
        leases.set_ranges(txn, 0, 10, 20, set())
        assert leases.take_lowest(txn, 0, 1) == 10
        leases.set_ranges(txn, 0, 15, 20, set())
        leases.free(txn, 0, 10, reusable=False)
        assert leases.take_lowest(txn, 0, 2) == 15
        held = dict(leases.held(txn, 0))
        assert held[15] == 2
        assert 10 not in held
