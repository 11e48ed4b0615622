"""What programs read from a bench: one JSON object of a fixed shape, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.report import Report, Row, median_rows, percentile


def test_json_is_one_object_with_machine_commit_and_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("commit", tmp_path, versions={"etcd": "3.4.23"})
    report.rows.append(
        Row(
            name="writes_per_s.unary.c64",
            value=3000.4,
            unit="1/s",
            peer="etcd 3.4",
            peer_value=7000,
            target=">= 0.5 x etcd",
        )
    )
    report.rows.append(Row(name="writes_lost", value=0, unit="writes"))
    report.finish(as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert {"machine", "commit", "results"} <= set(document)
    assert document["results"] == [
        {
            "name": "writes_per_s.unary.c64",
            "value": 3000,
            "unit": "1/s",
            "peer": "etcd 3.4",
            "peer_value": 7000,
            "ratio": 0.4286,
        },
        {"name": "writes_lost", "value": 0, "unit": "writes"},
    ]


def test_table_shows_value_peer_ratio_and_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    report = Report("commit", tmp_path)
    report.rows.append(
        Row(name="p50", value=1.5, unit="ms", peer="etcd", peer_value=1, target="<= 1.4 x etcd")
    )
    report.finish(as_json=False)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("p50"))
    assert line.split() == ["p50", "1.5", "ms", "1", "1.50", "<=", "1.4", "x", "etcd"]


def test_rounds_are_merged_by_their_medians() -> None:
    rounds = [
        [Row(name="a", value=value, unit="1/s", peer="etcd", peer_value=peer)]
        for value, peer in ((1, 30), (9, 10), (2, 20))
    ]
    (row,) = median_rows(rounds)
    assert (row.value, row.peer_value) == (2, 20)


def test_percentile_of_nothing_is_not_a_number() -> None:
    assert str(percentile([], 50)) == "nan"
    assert percentile([1, 2, 3, 4], 50) == 3
    assert percentile([1], 99) == 1
