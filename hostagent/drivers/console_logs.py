"""The files that guests' serial consoles are logged to."""

from __future__ import annotations

import os
from pathlib import Path


class ConsoleLogs:
    """One directory, a few files a guest: virtlogd moves a log that grew long to .0, .1, .2."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()

    def make(self, vm_id: int) -> str:
        """Where the guest's console is to be written. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(self._newest(vm_id))

    def tail(self, vm_id: int, tail_bytes: int) -> bytes:
        """The end of it, over all the files. Blocking. Raises OSError."""
        tail = b""
        for path in self._newest_first(vm_id):
            missing = tail_bytes - len(tail)
            if missing <= 0:
                break
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - missing))
                tail = file.read(missing) + tail
        return tail

    def remove(self, vm_id: int) -> None:
        for path in self._newest_first(vm_id):
            path.unlink(missing_ok=True)

    def _newest(self, vm_id: int) -> Path:
        return self._directory / f"{vm_id}.log"

    def _newest_first(self, vm_id: int) -> list[Path]:
        newest = self._newest(vm_id)
        older = (newest.with_name(f"{newest.name}.{number}") for number in range(3))
        return [path for path in (newest, *older) if path.exists()]
