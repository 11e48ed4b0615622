"""The end of a console, over the files that it was split into."""

from __future__ import annotations

from pathlib import Path

from hostagent.drivers.console_logs import ConsoleLogs


def test_tail_reads_over_files_that_were_moved_on(tmp_path: Path) -> None:
    logs = ConsoleLogs(tmp_path / "consoles")
    newest = Path(logs.make(3))
    newest.write_bytes(b"new\n")
    newest.with_name("3.log.0").write_bytes(b"old\n")
    newest.with_name("3.log.1").write_bytes(b"older\n")
    assert logs.tail(3, 100) == b"older\nold\nnew\n"
    assert logs.tail(3, 6) == b"d\nnew\n"
    assert logs.tail(3, 0) == b""


def test_guest_that_never_wrote_has_an_empty_console(tmp_path: Path) -> None:
    assert ConsoleLogs(tmp_path / "none").tail(3, 100) == b""


def test_removal_takes_all_files_of_one_guest_only(tmp_path: Path) -> None:
    logs = ConsoleLogs(tmp_path)
    for name in ("3.log", "3.log.0", "30.log"):
        (tmp_path / name).write_bytes(b"x")
    logs.remove(3)
    logs.remove(3)
    assert [path.name for path in tmp_path.iterdir()] == ["30.log"]
