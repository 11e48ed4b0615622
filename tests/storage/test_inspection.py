"""Files that must never become a base image, looked at with qemu-img beside our own reading."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from storage import inspection
from storage.errors import StorageError
from storage.inspection import inspect
from tests.storage.disk_images import patch, qcow2, raw_image

pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-utils")


def reason_of(path: Path) -> str:
    with pytest.raises(StorageError) as refused:
        inspect(path)
    return refused.value.reason


def test_fresh_qcow2_is_accepted(tmp_path):
    info = inspect(qcow2(tmp_path / "a.qcow2"))
    assert (info.format, info.virtual_size_bytes) == ("qcow2", 4 << 20)


@pytest.mark.parametrize("options", [["-o", "compat=0.10"], ["-o", "extended_l2=on"]])
def test_variants_of_qcow2_are_accepted(tmp_path, options):
    assert inspect(qcow2(tmp_path / "a.qcow2", *options)).format == "qcow2"


def test_compressed_qcow2_with_data_is_accepted(tmp_path):
    (tmp_path / "a.raw").write_bytes(raw_image(8192))
    convert = ["qemu-img", "convert", "-c", "-O", "qcow2"]
    subprocess.run([*convert, tmp_path / "a.raw", tmp_path / "a.qcow2"], check=True)
    assert inspect(tmp_path / "a.qcow2").virtual_size_bytes == 8192 * 512


@pytest.mark.parametrize("target", ["/etc/passwd", "json:{}", "nbd://127.0.0.1:1/x"])
def test_backing_file_is_refused_before_qemu_sees_it(tmp_path, monkeypatch, target):
    def never(verb: str, path: Path) -> dict[str, object]:
        raise AssertionError("qemu-img would open the backing file")

    image = qcow2(tmp_path / "a.qcow2", "-u", "-b", target, "-F", "raw")
    monkeypatch.setattr(inspection, "_run_qemu_img", never)
    assert reason_of(image) == "image_unsafe"


def test_external_data_file_is_refused(tmp_path):
    data = tmp_path / "data.raw"
    image = qcow2(tmp_path / "a.qcow2", "-o", f"data_file={data}")
    assert reason_of(image) == "image_unsafe"


def test_encrypted_image_is_refused(tmp_path):
    secret = ["--object", "secret,id=s,data=abc"]
    options = ["-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"]
    assert reason_of(qcow2(tmp_path / "a.qcow2", *secret, *options)) == "image_unsafe"


def test_data_cut_off_the_end_is_noticed(tmp_path):
    (tmp_path / "a.raw").write_bytes(raw_image(4) + b"\x77" * (1 << 20))
    subprocess.run(
        ["qemu-img", "convert", "-O", "qcow2", tmp_path / "a.raw", tmp_path / "a.qcow2"],
        check=True,
    )
    with (tmp_path / "a.qcow2").open("r+b") as file:
        file.truncate((tmp_path / "a.qcow2").stat().st_size - (512 << 10))
    assert reason_of(tmp_path / "a.qcow2") == "image_invalid"


def test_damaged_refcounts_are_noticed(tmp_path):
    image = qcow2(tmp_path / "a.qcow2", "-o", "preallocation=metadata")
    assert reason_of(patch(image, 2 << 16, "Q", 0)) == "image_invalid"


@pytest.mark.parametrize("form", ["vmdk", "vdi", "vhdx", "vpc", "qed", "parallels"])
def test_formats_of_others_are_refused(tmp_path, form):
    path = tmp_path / "a"
    subprocess.run(["qemu-img", "create", "-q", "-f", form, path, "4M"], check=True)
    assert reason_of(path) == "image_invalid"


def test_qemu_img_that_hangs_is_given_up(tmp_path, monkeypatch):
    image = qcow2(tmp_path / "a.qcow2")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "qemu-img").write_text("#!/bin/sh\nexec sleep 600\n")
    (tools / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr(inspection, "QEMU_IMG_TIMEOUT_S", 0.2)
    assert reason_of(image) == "image_invalid"


def test_confined_tool_cannot_write(tmp_path):
    target = tmp_path / "written"
    command = [*inspection._confinement(), "sh", "-c", f"echo x > {target}"]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert not target.exists() or target.stat().st_size == 0
