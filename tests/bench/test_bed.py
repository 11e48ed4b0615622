"""Sweeping removes what crashed programs left, and nothing of a program that lives."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from bench.testbed.bed import RECORD, Bed, Record, bed_directories, sweep


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_bed_in_the_making_is_not_swept_away(monkeypatch: pytest.MonkeyPatch) -> None:
    write = Record._write

    def swept_then_written(record: Record) -> None:
        assert sweep() == []
        write(record)
        assert sweep() == []

    monkeypatch.setattr(Record, "_write", swept_then_written)
    with Bed(hosts=0, fake=True) as bed:
        assert (bed.directory / RECORD).exists()
        assert list(bed_directories().iterdir()) == [bed.directory]
    assert list(bed_directories().iterdir()) == []


def test_draft_of_a_program_that_died_is_swept_away() -> None:
    # No process has this start time.
    (bed_directories() / ".1.0.skybedabcd").mkdir()
    sweep()
    assert list(bed_directories().iterdir()) == []
