"""
The disks of this machine's guests: qcow2 overlays on read-only base images.

A guest's first write goes to its overlay, so any number of guests share one base and a disk is
made in no time. Base and format are always named, never probed: a guest can write anything it
likes at the start of its own disk.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from protos.v1.vm_pb2 import Disk
from storage.datastore import ImageStore
from storage.errors import StorageError, from_os_error
from storage.part import sync_directory, sync_file

QEMU_IMG_TIMEOUT_S = 60.0
"""Wall clock. Making or growing an overlay only writes its tables."""


class Disks:
    """One per directory. All calls block for some 20 ms: run them in a thread."""

    def __init__(self, directory: Path, images: ImageStore) -> None:
        self._directory = directory.absolute()
        self._images = images
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def vm_directory(self, vm_id: int) -> Path:
        """Where everything of one guest is kept; remove() takes it all away."""
        return self._directory / str(vm_id)

    def make_directory(self, vm_id: int) -> Path:
        """vm_directory(), there also after a power cut. StorageError disk_full, io_error."""
        directory = self.vm_directory(vm_id)
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self._directory)
        except OSError as err:
            raise from_os_error(err, f"making the directory of VM {vm_id}") from err
        return directory

    def path(self, vm_id: int, disk_id: int) -> Path:
        return self.vm_directory(vm_id) / f"disk-{disk_id}.qcow2"

    def create(self, vm_id: int, disk: Disk) -> Path:
        """
        The overlay of *disk*, made or grown to disk.size_bytes (0: as large as its base).

        Repeating it changes nothing: what the guest wrote stays. StorageError image_missing when
        the base is not in the store, image_invalid when an overlay of another base is there,
        disk_full, io_error.
        """
        base = self._images.path(disk.image_sha256)
        path = self.path(vm_id, disk.disk_id)
        if not path.exists():
            self._make(vm_id, path, base, disk)
        self._check(path, base, disk)
        return path

    def remove(self, vm_id: int) -> None:
        """Removes the guest's disks and all else in its directory. Nothing there is success."""
        directory = self.vm_directory(vm_id)
        try:
            while directory.exists():
                try:
                    shutil.rmtree(directory)
                except FileNotFoundError:
                    # Something in it went by itself: the rest is there still.
                    continue
            sync_directory(self._directory)
        except OSError as err:
            raise from_os_error(err, f"removing the disks of VM {vm_id}") from err

    def _make(self, vm_id: int, path: Path, base: Path, disk: Disk) -> None:
        # The rename makes a crash halfway leave no overlay rather than a broken one.
        making = path.with_suffix(".making")
        self.make_directory(vm_id)
        try:
            size = [str(disk.size_bytes)] if disk.size_bytes else []
            form = disk.image_format or self._images.inspect(disk.image_sha256).format
            _qemu_img(
                "create", "-q", "-f", "qcow2", "-F", form, "-b", str(base), str(making), *size
            )
            sync_file(making)
            making.rename(path)
            sync_directory(path.parent)
        except OSError as err:
            raise from_os_error(err, f"making {path.name}") from err
        finally:
            making.unlink(missing_ok=True)

    def _check(self, path: Path, base: Path, disk: Disk) -> None:
        # -U: a running guest holds the lock, and only the header is read.
        info: dict[str, Any] = json.loads(
            _qemu_img("info", "-U", "-f", "qcow2", "--output=json", str(path))
        )
        if info.get("backing-filename") != str(base):
            raise StorageError(
                "image_invalid",
                f"{path} is an overlay of {info.get('backing-filename')}, not of {base}",
                "remove the VM's disks and let it be prepared again",
            )
        if disk.size_bytes > int(info["virtual-size"]):
            _qemu_img("resize", "-q", "-f", "qcow2", str(path), str(disk.size_bytes))


def _qemu_img(*arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["qemu-img", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=QEMU_IMG_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise StorageError(
            "io_error", "qemu-img is not installed", "install the package qemu-utils"
        ) from None
    except subprocess.TimeoutExpired:
        raise StorageError(
            "io_error",
            f"qemu-img {arguments[0]} took over {QEMU_IMG_TIMEOUT_S:.0f} s",
            "see whether the disk answers, then try again",
        ) from None
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip()
    if "No space left" in said or "Disk quota" in said:
        raise StorageError("disk_full", f"qemu-img: {said}", "free some space, then try again")
    raise StorageError("io_error", f"qemu-img {arguments[0]}: {said}")
