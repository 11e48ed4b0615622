"""Every refusal of storage reaches the API with a code that clients know."""

from __future__ import annotations

import errno
import typing

import pytest

from protos.errors import STATUS_CODES
from storage.errors import Reason, StorageError, from_os_error


@pytest.mark.parametrize("reason", typing.get_args(Reason))
def test_every_reason_has_a_code_of_the_api(reason):
    assert StorageError(reason, "x").code in STATUS_CODES


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_told_apart(number):
    refused = from_os_error(OSError(number, "full", "/data"), "writing")
    assert (refused.reason, "/data" in refused.detail) == ("disk_full", True)
    assert refused.next_step


def test_other_trouble_is_an_io_error():
    assert from_os_error(OSError(errno.EIO, "bad sector"), "reading").reason == "io_error"
