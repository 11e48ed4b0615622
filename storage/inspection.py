"""
Decides whether a file may become a base image.

Two opinions: the bytes themselves (formats.py), and, where it is installed, qemu-img, told which
format to expect and run without privileges to gain, files to write or memory to waste. A machine
that runs guests always has qemu-img; a replica without it still refuses what is unsafe.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from storage.errors import StorageError, from_os_error
from storage.formats import ImageInfo, recognise

QEMU_IMG_TIMEOUT_S = 60.0
"""Wall clock. Reading the tables of a sane image takes well under a second."""

_CPU_S = 20
_ADDRESS_SPACE_BYTES = 1 << 30
_NEXT_STEP = "check the file with `qemu-img check`, and send it again"


def inspect(path: Path) -> ImageInfo:
    """Blocking. StorageError (image_invalid, image_unsafe) when *path* must not be used."""
    try:
        with path.open("rb") as file:
            info = recognise(file)
    except OSError as err:
        raise from_os_error(err, f"reading {path.name}") from err
    if info.format == "qcow2" and shutil.which("qemu-img"):
        _second_opinion(path, info)
    return info


def _second_opinion(path: Path, info: ImageInfo) -> None:
    described = _run_qemu_img("info", path)
    if described.get("backing-filename") or described.get("encrypted"):
        raise StorageError("image_unsafe", "qemu-img finds a backing file or encryption in it")
    specific = described.get("format-specific", {}).get("data", {})
    if specific.get("data-file"):
        raise StorageError("image_unsafe", "qemu-img finds an external data file in it")
    if described.get("virtual-size") != info.virtual_size_bytes:
        raise StorageError(
            "image_invalid",
            f"qemu-img reads a virtual size of {described.get('virtual-size')} bytes, "
            f"the header says {info.virtual_size_bytes}",
            _NEXT_STEP,
        )
    checked = _run_qemu_img("check", path)
    if checked.get("corruptions") or checked.get("check-errors"):
        raise StorageError("image_invalid", "a damaged or truncated qcow2 image", _NEXT_STEP)


def _run_qemu_img(verb: str, path: Path) -> dict[str, Any]:
    """The JSON that `qemu-img VERB` prints. `check` says by its status what it also prints."""
    command = [*_confinement(), "qemu-img", verb, "-f", "qcow2", "--output=json", "--", str(path)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=QEMU_IMG_TIMEOUT_S,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise StorageError(
            "image_invalid", f"qemu-img {verb} took over {QEMU_IMG_TIMEOUT_S:.0f} s", _NEXT_STEP
        ) from None
    if done.returncode == 0 or (verb == "check" and done.returncode in (2, 3)):
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    said = done.stderr.decode(errors="replace").strip().replace(str(path), "the image")
    raise StorageError(
        "image_invalid",
        f"qemu-img {verb} refuses it ({said or f'status {done.returncode}'})",
        _NEXT_STEP,
    )


@functools.cache
def _confinement() -> tuple[str, ...]:
    """
    A prefix that limits what a parser tricked by a hostile file could do.

    util-linux's tools are used because preexec_fn is unsafe in a process with threads, and
    replicas have some. Writing is limited to zero bytes rather than forbidden by a user of its
    own, who could not read a datastore that only its owner may read.
    """
    prefix: list[str] = []
    if shutil.which("prlimit"):
        prefix += ["prlimit", f"--as={_ADDRESS_SPACE_BYTES}", f"--cpu={_CPU_S}", "--fsize=0"]
        prefix += ["--core=0", "--nofile=64", "--"]
    if shutil.which("setpriv"):
        prefix += ["setpriv", "--no-new-privs"]
        if os.geteuid() == 0:
            prefix += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        prefix += ["--"]
    return tuple(prefix)
