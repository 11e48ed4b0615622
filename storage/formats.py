"""
Recognises disk images by their bytes.

What QEMU would believe is not asked here: a qcow2 header can name any file of the host as its
backing file, and QEMU opens that file while it probes. So the header is read by this module
before any other program sees the file.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO, Literal

from storage.errors import StorageError

Format = Literal["raw", "qcow2"]

VIRTUAL_SIZE_MAX = 64 << 40
"""Bytes. Larger disks are taken for an attack on the host's tables, not for a wish."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What an image file is; sizes in bytes."""

    format: Format
    size_bytes: int
    virtual_size_bytes: int


# Formats that QEMU or people know and that are not taken: name and what to do.
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"KDMV", "a VMDK image"),
    (0, b"COWD", "a VMDK image"),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor"),
    (0, b"vhdxfile", "a VHDX image"),
    (0, b"conectix", "a VHD image"),
    (64, b"\x7f\x10\xda\xbe", "a VDI image"),
    (0, b"QED\x00", "a QED image"),
    (0, b"WithoutFreeSpace", "a Parallels image"),
    (0, b"WithouFreSpacExt", "a Parallels image"),
    (0, b"LUKS\xba\xbe", "an encrypted (LUKS) image"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\xfd7zXZ\x00", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"PK\x03\x04", "a zip file"),
    (257, b"ustar", "a tar archive"),
)

# Where a partition table, boot sector or file system says that this is a disk.
_RAW_SIGNATURES: tuple[tuple[int, bytes], ...] = (
    (510, b"\x55\xaa"),
    (512, b"EFI PART"),
    (4096, b"EFI PART"),
    (1080, b"\x53\xef"),
    (0, b"XFSB"),
    (0x10040, b"_BHRfS_M"),
    (0, b"hsqs"),
    (32769, b"CD001"),
)

_QCOW2_MAGIC = b"QFI\xfb"
# dirty, external data file, compression type, extended L2 entries. Bit 1 is "corrupt".
_QCOW2_KNOWN_INCOMPATIBLE = 0b11101
_QCOW2_DATA_FILE_BIT = 0b00100
_QCOW2_CORRUPT_BIT = 0b00010
_QCOW2_OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00
_L1_BYTES_MAX = 32 << 20


def recognise(file: BinaryIO) -> ImageInfo:
    """Says what *file* (seekable, open for reading) is; StorageError when it can't be a disk."""
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes == 0:
        raise StorageError("image_invalid", "the image is empty", "check the file and send again")
    for offset, magic, name in _FOREIGN:
        if _at(file, offset, len(magic)) == magic:
            raise StorageError(
                "image_invalid",
                f"the file is {name}",
                "unpack it or convert it with `qemu-img convert -O qcow2`",
            )
    if _at(file, 0, 4) == _QCOW2_MAGIC:
        return _recognise_qcow2(file, size_bytes)
    return _recognise_raw(file, size_bytes)


def _recognise_raw(file: BinaryIO, size_bytes: int) -> ImageInfo:
    if not any(_at(file, offset, len(magic)) == magic for offset, magic in _RAW_SIGNATURES):
        raise StorageError(
            "image_invalid",
            "not a disk image: neither qcow2 nor raw with a partition table, boot sector or "
            "file system",
            "send a qcow2 or raw disk image",
        )
    if size_bytes % 512:
        raise StorageError(
            "image_invalid",
            f"a raw image of {size_bytes} bytes is not a whole number of 512-byte sectors",
            "it was probably cut short; send it again",
        )
    return ImageInfo("raw", size_bytes, size_bytes)


def _recognise_qcow2(file: BinaryIO, size_bytes: int) -> ImageInfo:
    header = _at(file, 0, 104)
    if len(header) < 72:
        raise _damaged("its header is cut short")
    version, backing_offset, _, cluster_bits, virtual_size, crypt, l1_entries, l1_offset = (
        struct.unpack_from(">IQIIQIIQ", header, 4)
    )
    refcount_offset, refcount_clusters = struct.unpack_from(">QI", header, 48)
    if version not in (2, 3):
        raise StorageError(
            "image_invalid",
            f"qcow version {version} is not supported",
            "convert it with `qemu-img convert -O qcow2`",
        )
    if backing_offset:
        raise StorageError(
            "image_unsafe",
            "the image names a backing file, which would be read from the host",
            "flatten it with `qemu-img convert -O qcow2`",
        )
    if crypt:
        raise StorageError("image_unsafe", "the image is encrypted", "decrypt it before upload")
    if not 9 <= cluster_bits <= 21:
        raise _damaged(f"cluster_bits is {cluster_bits}")
    if version == 3:
        _check_version_3(header)
    if not 0 < virtual_size <= VIRTUAL_SIZE_MAX:
        raise _damaged(f"its virtual size is {virtual_size}")
    cluster_bytes: int = 1 << cluster_bits
    if l1_entries * 8 > _L1_BYTES_MAX or l1_offset + l1_entries * 8 > size_bytes:
        raise _damaged("its L1 table lies outside the file")
    # Each L2 table is one cluster of 8-byte entries (16-byte with subclusters), so that an L1
    # table too small for the size is a lie about either.
    if l1_entries * (cluster_bytes // 8) * cluster_bytes < virtual_size:
        raise _damaged("its L1 table is too small for its virtual size")
    if refcount_offset + refcount_clusters * cluster_bytes > size_bytes:
        raise _damaged("its refcount table lies outside the file")
    _check_l2_tables(_at(file, l1_offset, l1_entries * 8), cluster_bytes, size_bytes)
    return ImageInfo("qcow2", size_bytes, virtual_size)


def _check_version_3(header: bytes) -> None:
    if len(header) < 104:
        raise _damaged("its header is cut short")
    (incompatible,) = struct.unpack_from(">Q", header, 72)
    if incompatible & _QCOW2_DATA_FILE_BIT:
        raise StorageError(
            "image_unsafe",
            "the image keeps its data in another file, which would be read from the host",
            "flatten it with `qemu-img convert -O qcow2`",
        )
    if incompatible & _QCOW2_CORRUPT_BIT:
        raise _damaged("it is marked as corrupt")
    if incompatible & ~_QCOW2_KNOWN_INCOMPATIBLE:
        raise StorageError(
            "image_invalid",
            f"the image uses qcow2 features that are not known (bits {incompatible:#x})",
            "convert it with `qemu-img convert -O qcow2 -o compat=1.1`",
        )


def _check_l2_tables(l1_table: bytes, cluster_bytes: int, size_bytes: int) -> None:
    for (entry,) in struct.iter_unpack(">Q", l1_table):
        offset = entry & _QCOW2_OFFSET_MASK
        if offset and offset + cluster_bytes > size_bytes:
            raise _damaged("it is cut short: a table lies outside the file")


def _damaged(how: str) -> StorageError:
    return StorageError(
        "image_invalid", f"a damaged qcow2 image: {how}", "check the file and send it again"
    )


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)
