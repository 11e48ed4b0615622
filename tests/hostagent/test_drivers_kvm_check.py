"""KVM counts only when a guest gets through under it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from hostagent.drivers import kvm_check
from hostagent.drivers.kvm_check import KvmCheck, check


def stand_in(directory: Path, under_kvm: str) -> Path:
    """A QEMU that finishes at once under TCG, and does *under_kvm* under KVM."""
    path = directory / "qemu"
    special = f'case "$*" in *"-accel kvm"*) {under_kvm};; esac'
    path.write_text(f"#!/bin/sh\n{special}\nexit {kvm_check._EXIT_STATUS}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(kvm_check, "DEVICE", device)
    return device


def test_missing_device_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm_check, "DEVICE", tmp_path / "none")
    verdict = check()
    assert not verdict.usable
    assert "is missing" in verdict.detail


@pytest.mark.parametrize(
    ("under_kvm", "verdict"),
    [
        (":", KvmCheck(True)),
        ("exec sleep 60", KvmCheck(False, "did not finish")),
        ("echo failed to initialize kvm >&2; exit 1", KvmCheck(False, "failed to initialize kvm")),
    ],
)
def test_verdict_follows_what_the_guest_does(
    tmp_path: Path,
    device: Path,
    monkeypatch: pytest.MonkeyPatch,
    under_kvm: str,
    verdict: KvmCheck,
) -> None:
    monkeypatch.setattr(kvm_check, "QEMU", str(stand_in(tmp_path, under_kvm)))
    found = check()
    assert found.usable is verdict.usable
    assert verdict.detail in found.detail


def test_missing_qemu_is_the_reason(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm_check, "QEMU", "no-such-qemu")
    assert "no-such-qemu is not installed" in check().detail


def test_verdict_is_kept_until_the_machine_boots_again(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "run/kvm.json"
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("first\n")
    monkeypatch.setattr(kvm_check, "BOOT_ID", boot_id)
    monkeypatch.setattr(kvm_check, "QEMU", str(stand_in(tmp_path, ":")))
    assert check(cache).usable
    monkeypatch.setattr(kvm_check, "QEMU", "no-such-qemu")
    assert check(cache).usable
    boot_id.write_text("second\n")
    assert not check(cache).usable
    cache.write_text("damaged")
    assert not check(cache).usable


def test_full_disk_is_a_reason_that_holds_for_the_moment_only(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = tmp_path / "kvm.json"
    monkeypatch.setattr(kvm_check, "QEMU", str(stand_in(tmp_path, ":")))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        verdict = check(cache)
    assert (verdict.usable, verdict.final) == (False, False)
    assert "No space left on device" in verdict.detail
    assert check(cache) == KvmCheck(True)


def test_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(kvm_check, "QEMU", str(stand_in(tmp_path, ":")))
    assert check(tmp_path / "file/kvm.json") == KvmCheck(True)


@pytest.mark.skipif(shutil.which(kvm_check.QEMU) is None, reason="needs QEMU")
def test_test_guest_really_runs_under_qemu(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    boot_sector = (kvm_check._PROGRAM.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0")
    disk.write_bytes(boot_sector)
    assert os.path.getsize(disk) == 1 << 20
    _, problem = kvm_check._run("tcg", disk, 60.0)
    assert problem == ""
