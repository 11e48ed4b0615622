"""Placement: never too much on a host, evenly spread, the same answer to the same question."""

from __future__ import annotations

import random
from heapq import heappop
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.commands.capacity import memory_free_mib, refusal, vcpu_free
from frontend.scheduler import placement
from frontend.scheduler.placement import place
from protos.v1 import host_pb2
from protos.v1.host_pb2 import Host, HostCapacity
from protos.v1.vm_pb2 import Vm

STATES = [
    host_pb2.HOST_STATE_MONITORED,
    host_pb2.HOST_STATE_MONITORED,
    host_pb2.HOST_STATE_DISABLED,
    host_pb2.HOST_STATE_ERROR,
    host_pb2.HOST_STATE_UNSPECIFIED,
]


def host(
    number: int,
    vcpu: int = 4,
    memory_mib: int = 4096,
    *,
    cluster_id: int = 0,
    state: host_pb2.HostState = host_pb2.HOST_STATE_MONITORED,
    used: tuple[int, int] = (0, 0),
) -> Host:
    return Host(
        id=number,
        cluster_id=cluster_id,
        state=state,
        capacity=HostCapacity(vcpu=vcpu, memory_mib=memory_mib),
        vcpu_used=used[0],
        memory_used_mib=used[1],
    )


def vm(number: int, vcpu: int = 1, memory_mib: int = 512, cluster_id: int = 0) -> Vm:
    return Vm(id=number, vcpu=vcpu, memory_mib=memory_mib, cluster_id=cluster_id)


@st.composite
def clouds(draw: st.DrawFn) -> tuple[list[Vm], list[Host]]:
    hosts = [
        host(
            number,
            draw(st.integers(0, 3)),
            draw(st.integers(0, 64)),
            cluster_id=draw(st.integers(0, 1)),
            state=draw(st.sampled_from(STATES)),
            # Usage may exceed capacity: a host can come back with less memory.
            used=(draw(st.integers(0, 30)), draw(st.integers(0, 70))),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    vms = [
        vm(number, draw(st.integers(1, 12)), draw(st.integers(1, 32)), draw(st.integers(0, 1)))
        for number in range(draw(st.integers(0, 14)))
    ]
    return vms, hosts


@given(clouds(), st.randoms(use_true_random=False))
def test_never_overcommits_never_forgets_and_does_not_depend_on_order(
    cloud: tuple[list[Vm], list[Host]], shuffle: random.Random
) -> None:
    vms, hosts = cloud
    placements = place(vms, hosts)
    assert [answer.vm_id for answer in placements] == [guest.id for guest in vms]

    after = {host.id: Host.FromString(host.SerializeToString()) for host in hosts}
    for guest, answer in zip(vms, placements, strict=True):
        if answer.HasField("host_id"):
            chosen = after[answer.host_id]
            # Apply's own check, at that moment, agrees.
            assert refusal(chosen, guest) == ""
            chosen.vcpu_used += guest.vcpu
            chosen.memory_used_mib += guest.memory_mib
        else:
            assert answer.reason
            assert all(refusal(candidate, guest) for candidate in after.values())

    mixed = list(hosts)
    shuffle.shuffle(mixed)
    assert place(vms, mixed) == placements


def test_inputs_are_not_changed() -> None:
    hosts = [host(0)]
    before = hosts[0].SerializeToString(deterministic=True)
    place([vm(0)], hosts)
    assert hosts[0].SerializeToString(deterministic=True) == before


def test_equal_hosts_are_filled_evenly() -> None:
    placements = place([vm(number) for number in range(9)], [host(number) for number in range(3)])
    chosen = [answer.host_id for answer in placements]
    assert sorted(chosen) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_least_loaded_host_is_taken_first() -> None:
    hosts = [host(0, used=(0, 2048)), host(1, used=(0, 1024)), host(2, used=(30, 0))]
    [answer] = place([vm(0)], hosts)
    assert answer.host_id == 1


def test_big_vm_finds_the_only_host_that_holds_it() -> None:
    hosts = [host(number, memory_mib=1024) for number in range(5)]
    hosts.append(host(9, memory_mib=8192, used=(0, 4096)))
    [answer] = place([vm(0, memory_mib=4096)], hosts)
    assert answer.host_id == 9


@pytest.mark.parametrize(
    ("hosts", "guest", "reason"),
    [
        ([], vm(0), "cluster 0 has no hosts"),
        ([host(0, cluster_id=1)], vm(0), "cluster 0 has no hosts"),
        (
            [host(0, state=host_pb2.HOST_STATE_DISABLED), host(1, memory_mib=512)],
            vm(0, memory_mib=4096),
            "2 hosts: 1 disabled, 1 short of memory (needs 4096 MiB, has 512)",
        ),
        (
            [host(0, vcpu=1), host(1, vcpu=1, used=(7, 0))],
            vm(0, vcpu=9),
            "2 hosts: 2 short of processors (needs 9, has 8)",
        ),
        ([host(0, state=host_pb2.HOST_STATE_ERROR)], vm(0), "1 host: 1 in error"),
        ([host(0, state=host_pb2.HOST_STATE_UNSPECIFIED)], vm(0), "1 host: 1 not seen yet"),
    ],
)
def test_vm_that_fits_nowhere_is_told_why(hosts: list[Host], guest: Vm, reason: str) -> None:
    [answer] = place([guest], hosts)
    assert not answer.HasField("host_id")
    assert answer.reason == reason


def test_room_is_counted_with_processor_overcommit_and_without_memory_overcommit() -> None:
    assert (vcpu_free(host(0, vcpu=2)), memory_free_mib(host(0, memory_mib=100))) == (16, 100)


def test_many_vms_that_fit_nowhere_do_not_look_at_every_host_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = 0

    def counted(heap: list[Any]) -> Any:
        nonlocal looked
        looked += 1
        return heappop(heap)

    monkeypatch.setattr(placement, "heappop", counted)
    hosts = [host(number, memory_mib=1024) for number in range(300)]
    placements = place([vm(number) for number in range(3000)], hosts)
    assert sum(answer.HasField("host_id") for answer in placements) == 600
    assert looked <= 600 + len(hosts)


def test_reason_is_counted_once_for_all_vms_of_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    count = placement._Pool._count_reason

    def counting(pool: Any, *asked: Any) -> str:
        nonlocal counted
        counted += 1
        return count(pool, *asked)

    monkeypatch.setattr(placement._Pool, "_count_reason", counting)
    full = [host(number, memory_mib=1024, used=(0, 1024)) for number in range(50)]
    placements = place([vm(number) for number in range(1000)], full)
    assert {answer.reason for answer in placements} == {
        "50 hosts: 50 short of memory (needs 512 MiB, has 0)"
    }
    assert counted == 1


def test_reason_tells_what_is_left_after_the_vms_before() -> None:
    hosts = [host(0, memory_mib=1024)]
    big = [vm(number, memory_mib=2048) for number in (0, 2)]
    first, _, second = place([big[0], vm(1), big[1]], hosts)
    assert "has 1024)" in first.reason
    assert "has 512)" in second.reason
