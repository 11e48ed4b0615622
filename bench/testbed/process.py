"""A process of the bed: started, killed by its id, started again, its output kept."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.testbed.interrupts import undisturbed

ROOT = Path(__file__).resolve().parents[2]
STOP_DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process for good: its start time tells it from a later one that got the same number."""

    pid: int
    start_ticks: int

    @staticmethod
    def of(pid: int) -> ProcessId | None:
        """None when there is no such process, or only its exit status is left."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else ProcessId(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        return ProcessId.of(self.pid) == self

    def kill(self) -> None:
        if self.alive:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


class Process:
    """In a session of its own, so that Ctrl-C reaches only the program that owns the bed."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        note: Callable[[ProcessId], None] | None = None,
    ) -> None:
        """*note* is told of every start: whoever cleans up after a crash has to know."""
        self.name = name
        self.log = log
        self._command = list(command)
        self._note = note
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once. Starting what runs is an error of the caller."""
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        # A child that nobody has noted would outlive the bed.
        with undisturbed():
            with self.log.open("ab") as output:
                self._child = subprocess.Popen(
                    self._command,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            identity = ProcessId.of(self._child.pid)
            if self._note is not None and identity is not None:
                self._note(identity)

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Of the last start; RuntimeError before the first."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child.pid

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """SIGTERM, and SIGKILL when that takes too long. True if it stopped by itself."""
        if self._child is None or not self.running:
            return True
        self._child.terminate()
        try:
            self._child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def log_tail(self, lines: int = 5) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
