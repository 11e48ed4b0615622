"""A libvirtd of the test's own, in namespaces of its own, that may be killed and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "private_libvirtd.sh"
NEEDED = ("libvirtd", "virtlogd", "qemu-system-x86_64", "unshare", "nsenter")


def until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s} s")
        time.sleep(0.02)


class PrivateLibvirtd:
    """Started by start(); close() ends it, its guests and its namespaces."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "run/libvirt/libvirt-sock"
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        command = ["unshare", "-m", "-n", "-u", str(SCRIPT), str(directory)]
        self._holder = subprocess.Popen(command)
        until(lambda: (directory / "ready").exists(), "namespaces")
        self._log = self._inside("virtlogd")
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._daemon = self._inside("libvirtd")
        until(self.socket.exists, "libvirtd's socket")

    def signal(self, number: int) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(number)

    def kill(self) -> None:
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()

    def guest_pid(self, name: str) -> int:
        return int((self.directory / f"run/libvirt/qemu/{name}.pid").read_text())

    def close(self) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.send_signal(signal.SIGCONT)
            self.kill()
        for pid_file in (self.directory / "run/libvirt/qemu").glob("*.pid"):
            _kill(int(pid_file.read_text()))
        for process in (self._log, self._holder):
            process.kill()
            process.wait()

    def run(self, *command: str) -> str:
        """Runs a command inside, as the host's administrator would."""
        inside = [*self._enter(), *command]
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout

    def _inside(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self._enter(), *command], stderr=subprocess.DEVNULL)

    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self._holder.pid), "-m", "-n", "-u"]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.fixture
def libvirtd() -> Iterator[PrivateLibvirtd]:
    """One that the test may kill and stop."""
    yield from _running()


@pytest.fixture(scope="module")
def steady_libvirtd() -> Iterator[PrivateLibvirtd]:
    """One that the module's tests share, and leave as they found it."""
    yield from _running()


def _running() -> Iterator[PrivateLibvirtd]:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {', '.join(missing) or 'nothing else'}")
    # Not tmp_path: a socket's path may have only 107 bytes.
    with tempfile.TemporaryDirectory(prefix="skyraft-", ignore_cleanup_errors=True) as directory:
        daemon = PrivateLibvirtd(Path(directory))
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.close()
