"""Waits until VMs and images have settled, showing what they do meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from frontend.cli.errors import CliError, rejected, unavailable
from frontend.cli.nouns import EVENT, IMAGE, VM
from frontend.cli.options import interactive
from frontend.cli.records import enum_name

if TYPE_CHECKING:
    from frontend.cli.connection import Connection

RUNNING = "RUNNING"
DONE = "DONE"
POWEROFF = "POWEROFF"
SUSPENDED = "SUSPENDED"

Say = Callable[[str], None]


def vm_status(vm: Any) -> str:
    """One word for where a VM is: its step while it is on a host, else its state."""
    fields = vm.DESCRIPTOR.fields_by_name
    state = enum_name(fields["state"].enum_type, vm.state)
    if state == "ACTIVE":
        state = enum_name(fields["lcm_state"].enum_type, vm.lcm_state)
    return state or "UNKNOWN"


def vm_settled(vm: Any) -> bool:
    """Neither a host works on it nor does it wait for one."""
    return not vm.HasField("task_id") and vm_status(vm) != "PENDING"


def vms_settle(
    connection: Connection, vms: Sequence[Any], wanted: str, timeout_s: float
) -> list[Any]:
    """The VMs as they are when all have settled, in the same order.

    Raises a rejection when one settled elsewhere than in *wanted*, unavailable after *timeout_s*
    seconds."""
    latest = {vm.id: vm for vm in vms}
    waiting = {vm.id for vm in vms if not vm_settled(vm)}
    with _saying(f"waiting for {wanted}") as say:
        for vm in _changes(connection, vms, timeout_s) if waiting else ():
            if vm.id not in latest or vm.revision < latest[vm.id].revision:
                continue
            latest[vm.id] = vm
            if vm_settled(vm):
                waiting.discard(vm.id)
            say(_progress(latest.values(), wanted))
            if not waiting:
                break
    if waiting:
        raise _timeout(latest[min(waiting)], len(waiting), wanted, timeout_s)
    settled = [latest[vm.id] for vm in vms]
    failed = [vm for vm in settled if vm_status(vm) != wanted]
    if failed:
        raise _vm_failure(failed, wanted)
    return settled


def recovered(connection: Connection, vm: Any, timeout_s: float) -> Any:
    """Like `vms_settle`; where to depends on the step that is done again."""
    wanted = DONE if vm_status(vm) in ("EPILOG", "CLEANUP_DELETE") else RUNNING
    return vms_settle(connection, [vm], wanted, timeout_s)[0]


def image_settles(connection: Connection, image: Any, timeout_s: float) -> Any:
    """The image when it is READY. Raises a rejection if it failed, unavailable on time-out."""
    deadline = time.monotonic() + timeout_s
    with _saying(f"image {image.name}: waiting until enough replicas hold it") as say:
        for _ in _image_events(connection, image, deadline):
            image = connection.call(IMAGE, "Get", id=image.id)
            say(f"image {image.name}: {_image_state(image)}, {len(image.replica_ids)} copies")
            if _image_state(image) != "LOCKED":
                break
    state = _image_state(image)
    if state == "ERROR":
        raise rejected(
            "image_error",
            f"image {image.name}: {image.error}",
            f"delete it with `skyraft image delete {image.id}` and give it again",
        )
    if state == "LOCKED":
        raise unavailable(
            f"image {image.name} is still LOCKED after {timeout_s:g} s",
            f"it goes on: `skyraft image show {image.id} --watch`",
            reason="timeout",
        )
    return image


def _changes(connection: Connection, vms: Sequence[Any], timeout_s: float) -> Iterator[Any]:
    only = vms[0].id if len(vms) == 1 else None
    for answer in connection.watch(
        VM,
        lambda reached: VM.request("Watch", after_revision=reached, id=only),
        min(vm.revision for vm in vms),
        deadline=time.monotonic() + timeout_s,
    ):
        yield answer.vm


def _image_events(connection: Connection, image: Any, deadline: float) -> Iterator[Any]:
    """One at once, then one at each change."""
    yield None
    yield from connection.watch(
        EVENT,
        lambda reached: EVENT.request(
            "Watch", after_revision=reached, noun="image", object_id=image.id
        ),
        image.revision,
        deadline=deadline,
    )


def _image_state(image: Any) -> str:
    return enum_name(image.DESCRIPTOR.fields_by_name["state"].enum_type, image.state) or "UNKNOWN"


def _progress(vms: Iterable[Any], wanted: str) -> str:
    """`web: BOOT` for one VM, counts by state for many."""
    vms = list(vms)
    if len(vms) == 1:
        reason = f" ({vms[0].error})" if vms[0].error else ""
        return f"{vms[0].name}: {vm_status(vms[0])}{reason}"
    counts: dict[str, int] = {}
    for vm in vms:
        counts[vm_status(vm)] = counts.get(vm_status(vm), 0) + 1
    done = counts.pop(wanted, 0)
    others = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return f"{done} of {len(vms)} {wanted}" + (f", {others}" if others else "")


def _vm_failure(failed: Sequence[Any], wanted: str) -> CliError:
    vm = failed[0]
    status = vm_status(vm)
    others = f" ({len(failed)} VMs in all)" if len(failed) > 1 else ""
    cause = f"vm {vm.name} is {status}, not {wanted}: {vm.error or 'no cause was given'}{others}"
    verb = "recover" if status.endswith("_FAILURE") else "show"
    return rejected("not_reached", cause, f"`skyraft vm {verb} {vm.id}`, or `skyraft event list`")


def _timeout(vm: Any, count: int, wanted: str, timeout_s: float) -> CliError:
    others = f" and {count - 1} more" if count > 1 else ""
    why = f": {vm.error}" if vm.error else ""
    return unavailable(
        f"vm {vm.name}{others} not {wanted} after {timeout_s:g} s, but {vm_status(vm)}{why}",
        f"it goes on: `skyraft vm show {vm.id} --watch`",
        reason="timeout",
    )


@contextmanager
def _saying(text: str) -> Iterator[Say]:
    """A moving line on a terminal, a line at each change elsewhere; always on standard error."""
    import click

    if not interactive():
        said = [text]

        def say(line: str) -> None:
            if line != said[-1]:
                said.append(line)
                click.echo(line, err=True)

        yield say
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(text)) as status:
        yield lambda line: status.update(escape(line))
