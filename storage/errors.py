"""What storage refuses or could not do, in words for the operator and a reason for programs."""

from __future__ import annotations

import errno
from typing import Literal

Reason = Literal[
    "image_missing",
    "image_invalid",
    "image_unsafe",
    "checksum_mismatch",
    "size_mismatch",
    "disk_full",
    "context_invalid",
    "io_error",
]

# The API's error codes (protos/errors.py) by what the caller can do about it.
_CODES: dict[str, str] = {
    "image_missing": "not_found",
    "image_invalid": "invalid_argument",
    "image_unsafe": "invalid_argument",
    "checksum_mismatch": "invalid_argument",
    "size_mismatch": "invalid_argument",
    "disk_full": "resource_exhausted",
    "context_invalid": "invalid_argument",
    "io_error": "internal",
}


class StorageError(Exception):
    """*reason* is stable; *detail* names the cause; *next_step* says what to do about it."""

    def __init__(self, reason: Reason, detail: str, next_step: str = "") -> None:
        super().__init__(f"{detail}: {next_step}" if next_step else detail)
        self.reason: Reason = reason
        self.detail = detail
        self.next_step = next_step

    @property
    def code(self) -> str:
        """The API's error code: invalid_argument, not_found, resource_exhausted or internal."""
        return _CODES[self.reason]


def from_os_error(err: OSError, doing: str) -> StorageError:
    """A full disk gets its own reason: it is the operator's to solve, not a bug."""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            "disk_full",
            f"{doing}: {err.strerror} ({err.filename or 'data directory'})",
            "free some space or move the directory to a larger disk, then try again",
        )
    return StorageError("io_error", f"{doing}: {err}", "see the system's log for the disk's state")
