"""Hosts of the bed: fake ones that need nothing, and namespaced ones with a libvirtd each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.testbed.network import BedNetwork
from bench.testbed.process import ROOT, Process, ProcessId

START_DEADLINE_S = 60.0
JOIN_DEADLINE_S = 60.0
NEEDED = ("ip", "unshare", "nsenter", "libvirtd", "virtlogd", "qemu-system-x86_64", "qemu-img")
"""Programs that a namespaced host runs."""

_SCRIPT = Path(__file__).with_name("host_namespaces.sh")
_POLL_S = 0.02

Note = Callable[[ProcessId], None]


class HostFailed(Exception):
    """A host could not be made or joined; the text ends with what it said."""


class Host:
    """A machine with an agent. This one is fake: the agent drives guests made of files."""

    def __init__(
        self, name: str, directory: Path, *, note: Note, script: Path | None = None
    ) -> None:
        self.name = name
        self.directory = directory
        self.agent_directory = directory / "agent"
        directory.mkdir(parents=True, exist_ok=True)
        options = self._driver_options() + (["--fake-script", str(script)] if script else [])
        command = [sys.executable, "-m", "hostagent.main", "run"]
        self.agent = Process(
            f"agent of {name}",
            self.inside([*command, "--dir", str(self.agent_directory), *options]),
            directory / "agent.log",
            note=note,
        )

    def join(self, ca: Path, servers: Sequence[str], token: str) -> None:
        """Trades the one-time *token* for a certificate. HostFailed with what the agent said."""
        command = [sys.executable, "-m", "hostagent.main", "join", "--token", "-"]
        command += ["--dir", str(self.agent_directory), "--ca", str(ca), "--name", self.name]
        command += ["--server", ",".join(servers)]
        try:
            done = subprocess.run(
                self.inside(command),
                cwd=ROOT,
                input=f"{token}\n",
                capture_output=True,
                text=True,
                timeout=JOIN_DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HostFailed(f"{self.name} could not join within {JOIN_DEADLINE_S:.0f} s") from None
        if done.returncode:
            raise HostFailed(f"{self.name} could not join: {(done.stderr or done.stdout).strip()}")

    def inside(self, command: Sequence[str]) -> list[str]:
        """*command* as it is run on that host."""
        return list(command)

    def close(self) -> None:
        """Ends the host as a power cut would, guests included."""
        self.agent.kill()

    def _driver_options(self) -> list[str]:
        return ["--driver", "fake"]


class NamespacedHost(Host):
    """
    A network namespace, its own mounts and host name, and a libvirtd of its own in them.

    Guests are real and run under QEMU. Raises HostFailed.
    """

    def __init__(self, name: str, directory: Path, *, note: Note, network: BedNetwork) -> None:
        missing = [program for program in NEEDED if shutil.which(program) is None]
        if missing or os.geteuid() != 0:
            raise HostFailed(f"real hosts need root and {', '.join(missing) or 'nothing else'}")
        self.namespace = network.add_host()
        self._system = directory / "system"
        self._system.mkdir(parents=True)
        self._holder = Process(
            f"{name}",
            ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--uts",
             str(_SCRIPT), name, str(self._system)],
            directory / "namespaces.log",
            note=note,
        )  # fmt: skip
        self._holder.start()
        self._await(lambda: (self._system / "ready").exists(), self._holder)
        super().__init__(name, directory, note=note)
        self._log_daemon = Process(
            f"virtlogd of {name}", self.inside(["virtlogd"]), directory / "virtlogd.log", note=note
        )
        self.libvirtd = Process(
            f"libvirtd of {name}", self.inside(["libvirtd"]), directory / "libvirtd.log", note=note
        )
        self._log_daemon.start()
        self.start_libvirtd()

    def start_libvirtd(self) -> None:
        """Returns when it listens."""
        socket = self._system / "run" / "libvirt" / "libvirt-sock"
        socket.unlink(missing_ok=True)
        self.libvirtd.start()
        self._await(socket.exists, self.libvirtd)

    def inside(self, command: Sequence[str]) -> list[str]:
        target = f"--target={self._holder.pid}"
        # The working directory is set outside and is the same inside.
        return ["nsenter", target, "--mount", "--uts", "--net", f"--wd={ROOT}", *command]

    def close(self) -> None:
        """Kills agent and daemons; guests end with the network namespace (BedNetwork.close())."""
        for process in (self.agent, self.libvirtd, self._log_daemon, self._holder):
            process.kill()

    def _driver_options(self) -> list[str]:
        return ["--driver", "libvirt", "--libvirt-uri", "qemu:///system"]

    def _await(self, condition: Callable[[], bool], process: Process) -> None:
        end = time.monotonic() + START_DEADLINE_S
        while not condition():
            if not process.running or time.monotonic() > end:
                raise HostFailed(f"{process.name} did not start:\n{process.log_tail()}")
            time.sleep(_POLL_S)
