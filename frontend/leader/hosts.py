"""What the leader's components need of the connected hosts; api/sessions.py has it."""

from __future__ import annotations

from typing import Protocol

from protos.v1.agent_pb2 import Task


class Hosts(Protocol):
    def open(self, term: int) -> None:
        """This replica leads: agents may connect."""

    def close(self) -> None:
        """It leads no more: agents are sent to who does."""

    def connected(self) -> list[int]:
        """Ids of the hosts with a session."""

    def heard(self, host_id: int) -> float | None:
        """Monotonic time of the host's last message; None: not under this leadership."""

    async def arrived(self) -> int:
        """Waits for the next host that connects."""

    def send_task(self, task: Task) -> bool:
        """False: the task's host is not connected."""

    def report_again(self, host_id: int) -> None:
        """Proposes once more what the host said last that it runs."""

    def drop(self, host_id: int) -> None:
        """Ends the host's session."""
