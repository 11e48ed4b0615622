"""What counts as a disk image, decided from its bytes alone."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import StorageError
from storage.formats import VIRTUAL_SIZE_MAX, ImageInfo, recognise
from tests.storage.disk_images import qcow2, raw_image


def recognise_bytes(content: bytes) -> ImageInfo:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return recognise(file)


def qcow2_bytes(**changed: int) -> bytes:
    """A version 3 image of 1 MiB with 64 KiB clusters, fields changed by name."""
    fields = {
        "version": 3,
        "backing_offset": 0,
        "backing_length": 0,
        "cluster_bits": 16,
        "virtual_size": 1 << 20,
        "crypt": 0,
        "l1_entries": 1,
        "l1_offset": 3 << 16,
        "refcount_offset": 1 << 16,
        "refcount_clusters": 1,
        "snapshots": 0,
        "snapshots_offset": 0,
        "incompatible": 0,
        "compatible": 0,
        "autoclear": 0,
        "refcount_order": 4,
        "header_length": 104,
    } | changed
    header = b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQQQQII", *fields.values())
    return header.ljust(4 << 16, b"\0")


def reason_of(content: bytes) -> str:
    with pytest.raises(StorageError) as refused:
        recognise_bytes(content)
    assert refused.value.next_step
    return refused.value.reason


def test_sound_qcow2_is_recognised():
    assert recognise_bytes(qcow2_bytes()) == ImageInfo("qcow2", 4 << 16, 1 << 20)


def test_raw_disk_with_boot_sector_is_recognised():
    assert recognise_bytes(raw_image(8)) == ImageInfo("raw", 4096, 4096)


@pytest.mark.parametrize(
    ("offset", "magic"),
    [(512, b"EFI PART"), (1080, b"\x53\xef"), (32769, b"CD001"), (0, b"XFSB"), (0, b"hsqs")],
)
def test_raw_file_systems_are_recognised(offset, magic):
    content = bytearray(64 << 10)
    content[offset : offset + len(magic)] = magic
    assert recognise_bytes(bytes(content)).format == "raw"


@pytest.mark.parametrize(
    "changed",
    [
        {"backing_offset": 200, "backing_length": 11},
        {"incompatible": 0b100},
        {"crypt": 1},
        {"crypt": 2},
    ],
)
def test_qcow2_that_reaches_outside_itself_is_unsafe(changed):
    assert reason_of(qcow2_bytes(**changed)) == "image_unsafe"


def test_version_2_backing_file_is_unsafe():
    assert reason_of(qcow2_bytes(version=2, backing_offset=200)) == "image_unsafe"


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 1},
        {"version": 4},
        {"cluster_bits": 8},
        {"cluster_bits": 60},
        {"virtual_size": 0},
        {"virtual_size": VIRTUAL_SIZE_MAX + 1},
        {"l1_offset": 1 << 40},
        {"l1_entries": 0xFFFF_FFFF},
        {"l1_entries": 0},
        {"refcount_offset": 1 << 40},
        {"incompatible": 0b10},
        {"incompatible": 1 << 40},
    ],
)
def test_damaged_qcow2_is_refused(changed):
    assert reason_of(qcow2_bytes(**changed)) == "image_invalid"


def test_qcow2_cut_short_is_refused():
    content = bytearray(qcow2_bytes())
    content[3 << 16 : (3 << 16) + 8] = struct.pack(">Q", (1 << 63) | 4 << 16)
    assert reason_of(bytes(content)) == "image_invalid"
    assert recognise_bytes(bytes(content) + bytes(1 << 16)).format == "qcow2"
    assert reason_of(qcow2_bytes()[:60]) == "image_invalid"
    assert reason_of(qcow2_bytes()[:80]) == "image_invalid"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"root:x:0:0:root:/root:/bin/bash\n",
        bytes(1 << 16),
        b"\x7fELF" + bytes(4096),
        raw_image() + b"x",
        b"KDMV" + bytes(508),
        b"# Disk DescriptorFile\nversion=1\n",
        b"vhdxfile" + bytes(1 << 16),
        b"\x1f\x8b\x08" + bytes(600),
        b"LUKS\xba\xbe" + bytes(1018),
    ],
)
def test_what_is_no_disk_image_is_refused(content):
    assert reason_of(content) == "image_invalid"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600), st.integers(0, 110))
def test_hostile_bytes_give_an_answer_or_a_refusal(noise, at):
    content = bytearray(qcow2_bytes())
    content[at : at + len(noise)] = noise
    with contextlib.suppress(StorageError):
        assert 0 < recognise_bytes(bytes(content)).virtual_size_bytes <= VIRTUAL_SIZE_MAX


def test_backing_file_of_the_real_tool_is_seen(tmp_path: Path):
    image = qcow2(tmp_path / "evil.qcow2", "-u", "-b", "/etc/passwd", "-F", "raw")
    with image.open("rb") as file, pytest.raises(StorageError) as refused:
        recognise(file)
    assert refused.value.reason == "image_unsafe"
