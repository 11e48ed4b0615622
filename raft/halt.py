"""An error on the tick thread ends the engine, not the thread: it still has callers to answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

import lmdb

from raft.guard import InvariantBroken
from raft.journal import JournalRefused

log = logging.getLogger(__name__)


class HaltOnError:
    """Everything on the tick thread runs inside: an error ends the engine, not the thread."""

    def __init__(self, halt: Callable[[str], None]) -> None:
        self._halt = halt

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        expected = isinstance(error, (InvariantBroken, JournalRefused, OSError, lmdb.Error))
        log.error("raft: %s", error, exc_info=None if expected else error)
        self._halt(f"{type(error).__name__}: {error}")
        return True
