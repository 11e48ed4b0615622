"""
Builds the guest that demo and tests boot: Debian's or Ubuntu's cloud kernel and busybox.

`python -m bench.testbed.guest` prints the path of the image, a qcow2 of some 20 MB. Nothing is
installed and no root is needed: packages are downloaded by name with apt and unpacked beside it.
The image is cached under a name that follows from the packages' hashes and from this recipe.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

KERNEL_PACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual")
"""Debian's, then Ubuntu's: a package that only depends on the kernel of today."""

TOOL_PACKAGES = ("busybox-static", "syslinux", "syslinux-common", "mtools")

MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    # The contextualization's CD: these kernels have no AHCI, so it hangs on a virtio SCSI bus.
    "virtio_scsi",
    "sr_mod",
    "isofs",
    # The power button, for a shutdown in good order.
    "button",
    "evdev",
)

KERNEL_COMMAND_LINE = (
    "console=ttyS0,115200 quiet loglevel=3 panic=-1 no_timer_check mitigations=off"
)

DISK_MARGIN_BYTES = 2 << 20

_INIT = Path(__file__).with_name("guest_init.sh")
_KERNEL_PART = re.compile(r"linux-(?:image|modules)-(?:unsigned-)?\d\S*")


class GuestBuildError(Exception):
    """The guest could not be built; the text names the cause and the next step."""


def cache_directory() -> Path:
    """$XDG_CACHE_HOME/skyraft, or ~/.cache/skyraft."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "skyraft"


def build(cache: Path | None = None) -> Path:
    """
    The guest's image, from the cache when nothing changed. Blocking, some 10 s when built.

    Without a network the newest image of the cache serves. Raises GuestBuildError.
    """
    images = (cache or cache_directory()) / "guest"
    images.mkdir(parents=True, exist_ok=True)
    try:
        packages = [*_kernel_packages(), *TOOL_PACKAGES]
        image = images / f"{_key(packages)}.qcow2"
        if not image.exists():
            with tempfile.TemporaryDirectory(prefix="building-", dir=images) as work:
                _build(packages, Path(work)).rename(image)
    except GuestBuildError:
        known = sorted(images.glob("*.qcow2"), key=lambda path: path.stat().st_mtime)
        if not known:
            raise
        return known[-1]
    return image


def _kernel_packages() -> list[str]:
    """The packages of today's kernel; Ubuntu keeps its modules in one of their own."""
    for name in KERNEL_PACKAGES:
        done = _attempt(["apt-cache", "depends", "--recurse", "--important", name])
        found = sorted(set(_KERNEL_PART.findall(done.stdout))) if done.returncode == 0 else []
        if found:
            return found
    raise GuestBuildError(
        f"no package of {', '.join(KERNEL_PACKAGES)} is known here: run apt-get update"
    )


def _key(packages: Sequence[str]) -> str:
    # In an empty directory: apt lists only what it would have to fetch.
    with tempfile.TemporaryDirectory() as empty:
        uris = _run(["apt-get", "download", "--print-uris", "-q", *packages], Path(empty))
    # The server's name may differ between machines, file, size and hash do not.
    facts = [line.partition(" ")[2] for line in sorted(uris.splitlines())]
    recipe = [Path(__file__).read_text(), _INIT.read_text()]
    return hashlib.sha256("\0".join([*facts, *recipe]).encode()).hexdigest()[:16]


def _build(packages: Sequence[str], work: Path) -> Path:
    downloads, root = work / "packages", work / "root"
    downloads.mkdir()
    _run(["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *packages], downloads)
    for package in sorted(downloads.iterdir()):
        _run(["dpkg-deb", "--extract", str(package), str(root)], work)
    kernel = next(root.glob("boot/vmlinuz-*"))
    initramfs = _initramfs(root, work)
    return _bootable_disk(root, work, kernel, initramfs)


def _initramfs(root: Path, work: Path) -> Path:
    tree = work / "initramfs"
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    busybox = next(path for path in root.rglob("bin/busybox") if path.is_file())
    shutil.copy(busybox, tree / "bin" / "busybox")
    order = []
    for name, module in _module_closure(root, MODULES):
        (tree / "modules" / f"{name}.ko").write_bytes(module)
        order.append(name)
    (tree / "modules" / "order").write_text("".join(f"{name}\n" for name in order))
    shutil.copy(_INIT, tree / "init")
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    packed = subprocess.run(
        [str(busybox), "cpio", "-o", "-H", "newc", "-R", "0:0"],
        input=names.encode(),
        cwd=tree,
        check=True,
        capture_output=True,
    )
    archive = work / "initrd.gz"
    archive.write_bytes(gzip.compress(packed.stdout, 9, mtime=0))
    return archive


def _module_closure(root: Path, wanted: Sequence[str]) -> list[tuple[str, bytes]]:
    """Each wanted module after what it needs. Built-in ones have no file and are left out."""
    files = {path.name.split(".ko")[0].replace("-", "_"): path for path in root.rglob("*.ko*")}
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in loaded or name not in files:
            return
        module = _uncompressed(files[name])
        needs = re.search(rb"\0depends=([^\0]*)\0", module)
        for need in needs[1].decode().split(",") if needs else ():
            load(need.replace("-", "_"))
        loaded[name] = module

    for name in wanted:
        load(name)
    return list(loaded.items())


def _uncompressed(path: Path) -> bytes:
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    return path.read_bytes()


def _bootable_disk(root: Path, work: Path, kernel: Path, initramfs: Path) -> Path:
    """A FAT filesystem over the whole disk with SYSLINUX in its boot sector."""
    config = work / "syslinux.cfg"
    config.write_text(
        f"DEFAULT guest\nPROMPT 0\nTIMEOUT 0\nLABEL guest\n  LINUX /vmlinuz\n"
        f"  INITRD /initrd.gz\n  APPEND {KERNEL_COMMAND_LINE}\n"
    )
    disk = work / "disk.raw"
    content = kernel.stat().st_size + initramfs.stat().st_size
    size_mib = (content + DISK_MARGIN_BYTES + (1 << 20) - 1) >> 20
    with disk.open("wb") as file:
        file.truncate(size_mib << 20)
    tools = root / "usr" / "bin"
    path = f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    geometry = ["-h", "64", "-s", "32", "-t", str(size_mib)]
    _run(["mformat", "-i", str(disk), *geometry, "-v", "SKYRAFT", "::"], work, path)
    _run(["syslinux", "--install", str(disk)], work, path)
    for source, name in ((kernel, "vmlinuz"), (initramfs, "initrd.gz"), (config, "syslinux.cfg")):
        _run(["mcopy", "-i", str(disk), str(source), f"::/{name}"], work, path)
    image = work / "guest.qcow2"
    _run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(image)], work)
    return image


def _attempt(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise GuestBuildError(
            f"{command[0]} is not here: the guest is built on Debian or Ubuntu, with qemu-utils"
        ) from None


def _run(command: Sequence[str], directory: Path, path: str | None = None) -> str:
    environment = os.environ | {"LC_ALL": "C"} | ({"PATH": path} if path else {})
    # Looked up by us: the child's PATH does not matter to exec of the first word.
    program = shutil.which(command[0], path=path)
    if program is None:
        raise GuestBuildError(f"{command[0]} is not installed: run ./dev setup")
    done = subprocess.run(
        [program, *command[1:]],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        hint = "; run apt-get update if its lists are old" if command[0] == "apt-get" else ""
        raise GuestBuildError(f"{command[0]} {command[1]} failed: {said[0]}{hint}")
    return done.stdout


def main() -> None:
    """Prints the image's path."""
    parser = argparse.ArgumentParser(prog="python -m bench.testbed.guest", description=__doc__)
    parser.add_argument("--cache", type=Path, help="directory to keep images in")
    print(build(parser.parse_args().cache))


if __name__ == "__main__":
    main()
