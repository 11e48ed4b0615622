"""An error on the tick thread ends the engine, not the thread: it still has callers to answer."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import lmdb

from raft.guard import InvariantBroken
from raft.journal import JournalRefused

log = logging.getLogger(__name__)

FULL_BELOW_BYTES = 8 << 20


class HaltOnError:
    """Everything on the tick thread runs inside: an error ends the engine, not the thread."""

    def __init__(self, halt: Callable[[str], None], journal: Path) -> None:
        """*journal* is the directory that is written to."""
        self._halt, self._journal = halt, journal

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
        self._halt(self._cause(error))
        return True

    def _cause(self, error: Exception) -> str:
        cause = f"{type(error).__name__}: {error}"
        # LMDB tells a write that was cut short by a full disk as an input/output error.
        if isinstance(error, (OSError, lmdb.Error)) and self._disk_full():
            return f"disk full, free space and restart ({cause})"
        return cause

    def _disk_full(self) -> bool:
        try:
            return shutil.disk_usage(self._journal).free < FULL_BELOW_BYTES
        except OSError:
            return False
