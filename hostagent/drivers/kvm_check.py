"""
Finds out whether KVM is good for anything here.

/dev/kvm that opens proves little: under some nested hypervisors guests hang or crawl behind it.
So a tiny guest is booted from a disk, sleeps through a few timer interrupts and leaves, once
under TCG, which always works, and once under KVM, which must not be much slower.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

QEMU = "qemu-system-x86_64"
DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_EXIT_VALUE = 0x31
# sti; mov cx, 5; again: hlt; loop again; mov al, _EXIT_VALUE; out 0xf4, al; stop: hlt; jmp stop
_PROGRAM = bytes(
    [0xFB, 0xB9, 5, 0, 0xF4, 0xE2, 0xFD, 0xB0, _EXIT_VALUE, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD]
)
_EXIT_STATUS = (_EXIT_VALUE << 1) | 1
"""What isa-debug-exit makes of it."""

_DISK_BYTES = 1 << 20
_TCG_TIMEOUT_S = 20.0
_RUNS_MAX = 3
_KVM_EXTRA_S = 1.0
"""KVM may take this much longer than TCG: room for a busy machine, not for a hang."""


@dataclass(frozen=True, slots=True)
class KvmCheck:
    """The verdict; *detail* says why KVM is not used and is empty where it is."""

    usable: bool
    detail: str = ""
    final: bool = True
    """Until the machine boots again. Else it could not be found out now: ask again."""


def check(cache: Path | None = None) -> KvmCheck:
    """
    Blocking, some seconds at worst; at once when *cache* holds this boot's verdict.

    The verdict holds until the machine boots again: modules and firmware settings decide it.
    """
    boot_id = BOOT_ID.read_text().strip()
    known = _cached(cache, boot_id)
    if known is not None:
        return known
    try:
        verdict = _check()
    except OSError as err:
        return KvmCheck(False, f"whether KVM works could not be tried: {err}", final=False)
    if cache is not None:
        _keep(cache, {"boot_id": boot_id, "usable": verdict.usable, "detail": verdict.detail})
    return verdict


def _keep(cache: Path, row: dict[str, object]) -> None:
    """A verdict that cannot be kept is found out anew by the next agent."""
    draft = cache.with_suffix(f".{os.getpid()}.new")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(row))
        os.replace(draft, cache)
    except OSError as err:
        log.warning("the KVM verdict cannot be kept: %s", err)
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _cached(cache: Path | None, boot_id: str) -> KvmCheck | None:
    if cache is None:
        return None
    try:
        row = json.loads(cache.read_text())
        if row["boot_id"] == boot_id:
            return KvmCheck(bool(row["usable"]), str(row["detail"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return None


def _check() -> KvmCheck:
    if not DEVICE.exists():
        return KvmCheck(False, f"{DEVICE} is missing: no KVM module, or virtualization is off")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return KvmCheck(False, f"{DEVICE} cannot be opened: run the agent as root")
    with tempfile.TemporaryDirectory(prefix="skyraft-kvm-") as directory:
        disk = Path(directory) / "disk"
        disk.write_bytes((_PROGRAM.ljust(510, b"\0") + b"\x55\xaa").ljust(_DISK_BYTES, b"\0"))
        tcg_s, problem = _best("tcg", disk, _TCG_TIMEOUT_S, good_s=1.0)
        if problem:
            return KvmCheck(False, f"the test guest fails even without KVM: {problem}")
        limit_s = tcg_s + _KVM_EXTRA_S
        _, problem = _best("kvm", disk, limit_s, good_s=limit_s)
    if problem:
        return KvmCheck(False, f"{problem} under KVM; without KVM it took {tcg_s:.1f} s")
    return KvmCheck(True)


def _best(accelerator: str, disk: Path, timeout_s: float, *, good_s: float) -> tuple[float, str]:
    """The fastest of a few runs, or the first that takes *good_s* at most: a machine that is
    busy for a moment must not decide for as long as it is up."""
    runs: list[tuple[float, str]] = []
    while len(runs) < _RUNS_MAX:
        seconds, problem = _run(accelerator, disk, timeout_s)
        if not problem and seconds <= good_s:
            return seconds, ""
        runs.append((seconds, problem))
    return min(runs, key=lambda run: (run[1] != "", run[0]))


def _run(accelerator: str, disk: Path, timeout_s: float) -> tuple[float, str]:
    """Seconds it took, and what went wrong (empty: nothing)."""
    command = [
        *(QEMU, "-accel", accelerator, "-M", "q35", "-m", "64", "-display", "none"),
        *("-nodefaults", "-no-user-config", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
        *("-drive", f"file={disk},format=raw,if=none,id=disk,readonly=on"),
        *("-device", "virtio-blk-pci,drive=disk,bootindex=0"),
    ]
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError:
        return 0.0, f"{QEMU} is not installed"
    except subprocess.TimeoutExpired:
        return timeout_s, f"the test guest did not finish in {timeout_s:.1f} s"
    if done.returncode != _EXIT_STATUS:
        said = done.stderr.strip().splitlines()
        return 0.0, f"the test guest did not run: {said[-1] if said else done.returncode}"
    return time.monotonic() - begin, ""
