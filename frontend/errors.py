"""What can go wrong with a request, by what its sender must do.

* Rejected: the replicated state says no, on every replica alike. Do not retry.
* Unavailable: the outcome is unknown. Ask again with the same request id.

Anything else is a bug: it ends the process (or halts the engine) with a trace.
"""

from __future__ import annotations


class Rejected(Exception):
    """A business rule refused the command.

    *code* is one of the stable reasons of protos/errors.py, *detail* names the cause and the next
    step in words, *field* is the path of the request's field at fault, if one is.
    """

    def __init__(self, code: str, detail: str, field: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field


class Unavailable(Exception):
    """No leader, or no answer in time; what became of the command is unknown."""


class LogCorrupt(Exception):
    """An entry of the log that this build cannot apply as every other replica would.

    Malformed, or written by a newer build. The replica must halt rather than diverge.
    """
