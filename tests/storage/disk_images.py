"""Makes the smallest files that count as disk images, and hostile ones."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

SECTOR = 512


def raw_image(sectors: int = 4) -> bytes:
    """A boot sector and some more; sizes in sectors."""
    return bytes(510) + b"\x55\xaa" + bytes(SECTOR * (sectors - 1))


def qcow2(path: Path, *options: str, size: str = "4M") -> Path:
    """A fresh qcow2 made by qemu-img, *options* passed on to it."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size]
    subprocess.run(command, check=True, capture_output=True)
    return path


def patch(path: Path, offset: int, form: str, value: int) -> Path:
    """Overwrites one big-endian field of *path*."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack(">" + form, value))
    return path
