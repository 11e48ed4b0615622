"""
A guest of the fake hypervisor: one JSON file, and time.

What a guest does after its start (lines on its console, a crash) follows from the wall clock, so
that it goes on, like a real one, while no agent runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hostagent.drivers.base import DiskSpec, GuestSpec, NicSpec, Power
from hostagent.drivers.fake_script import Conduct

CONSOLE_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeGuest:
    """What the hypervisor keeps of a guest."""

    spec: GuestSpec
    power: Power = Power.OFF
    started_at_s: float = 0.0
    """Wall-clock time of the last boot, moved on by the time spent paused or saved."""
    halted_at_s: float = 0.0
    """Wall-clock time of the pause or save."""
    boots: int = 0

    def uptime_s(self, now_s: float) -> float:
        """Seconds that the guest's own clock has counted since its boot."""
        end = now_s if self.power is Power.ON else self.halted_at_s
        return max(0.0, end - self.started_at_s)

    def resumed(self, now_s: float) -> FakeGuest:
        """Goes on where it was halted: its uptime does not count the time between."""
        moved = self.started_at_s + (now_s - self.halted_at_s)
        return replace(self, power=Power.ON, started_at_s=moved)

    def own_end(self, conduct: Conduct) -> tuple[float, Power] | None:
        """When a running guest will end by itself (wall clock), and how; None: it will not."""
        if self.power is not Power.ON:
            return None
        ends = [
            (self.started_at_s + after_s, power)
            for after_s, power in (
                (conduct.poweroff_after_s, Power.OFF),
                (conduct.crash_after_s, Power.CRASHED),
            )
            if after_s is not None
        ]
        return min(ends, default=None, key=lambda end: end[0])


def boot_text(guest: FakeGuest, now_s: float, boot_s: float) -> str:
    """What a small guest writes in its present boot: who it was told to be, then its uptime."""
    if guest.boots == 0:
        return ""
    uptime_s = guest.uptime_s(now_s)
    if uptime_s < boot_s:
        return ""
    return "".join(f"{line}\n" for line in _lines(guest.spec, guest.boots, int(uptime_s)))


def _lines(spec: GuestSpec, boots: int, uptime_s: int) -> Iterator[str]:
    yield f"skyraft-guest boot={boots}"
    yield f"hostname={spec.context.get('SET_HOSTNAME') or spec.name}"
    for nic in spec.nics:
        yield f"ip={nic.ip}/{nic.prefix_length} mac={nic.mac}"
    for key in spec.ssh_public_keys:
        yield f"ssh_key={key}"
    # The console is kept short: a guest that ran for a month says only its last hour.
    for second in range(max(0, uptime_s - 3600), uptime_s + 1):
        yield f"uptime={second}"


class GuestFiles:
    """The guests of one fake host: a JSON file and a console file each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[int, FakeGuest]:
        guests = (_from_json(path.read_text()) for path in self._directory.glob("*.json"))
        return {guest.spec.vm_id: guest for guest in guests}

    def write(self, guest: FakeGuest) -> None:
        """Replaces the file at once: an agent killed here leaves the old guest or the new one."""
        path = self._directory / f"{guest.spec.vm_id}.json"
        draft = path.with_suffix(".new")
        draft.write_text(_to_json(guest))
        os.replace(draft, path)

    def remove(self, vm_id: int) -> None:
        (self._directory / f"{vm_id}.json").unlink(missing_ok=True)
        self._console(vm_id).unlink(missing_ok=True)

    def console(self, vm_id: int) -> str:
        """What the guest wrote in its earlier boots."""
        path = self._console(vm_id)
        return path.read_text() if path.exists() else ""

    def append_console(self, vm_id: int, text: str) -> None:
        """Keeps the end of the log when it grows too long."""
        kept = (self.console(vm_id) + text)[-CONSOLE_BYTES_MAX:]
        self._console(vm_id).write_text(kept)

    def _console(self, vm_id: int) -> Path:
        return self._directory / f"{vm_id}.console"


def _to_json(guest: FakeGuest) -> str:
    raw = asdict(guest)
    raw["power"] = guest.power.value
    return json.dumps(raw)


def _from_json(text: str) -> FakeGuest:
    raw: dict[str, Any] = json.loads(text)
    spec: dict[str, Any] = raw.pop("spec")
    spec["disks"] = tuple(DiskSpec(**disk) for disk in spec["disks"])
    spec["nics"] = tuple(NicSpec(**nic) for nic in spec["nics"])
    spec["cdroms"] = tuple(spec["cdroms"])
    spec["ssh_public_keys"] = tuple(spec["ssh_public_keys"])
    return FakeGuest(spec=GuestSpec(**spec), **(raw | {"power": Power(raw["power"])}))
