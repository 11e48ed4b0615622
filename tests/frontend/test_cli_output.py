"""What people and programs are shown: the same fields in three forms."""

from __future__ import annotations

import io
import json

import pytest
import yaml

from frontend.cli.output import (
    FORMS,
    JSON,
    TABLE,
    YAML,
    Column,
    Output,
    age,
    detail_lines,
    human,
    printable,
    size,
    table_lines,
)
from frontend.cli.records import Record

COLUMNS = (Column("id"), Column("name"), Column("size_bytes", "size"))
ROWS: list[Record] = [
    {"id": 0, "name": "web", "size_bytes": 1 << 30, "labels": {"a": "b"}},
    {"id": 10, "name": "database", "size_bytes": 0, "labels": {}},
]


def printed(form: str, *pages: list[Record], width: int = 0) -> str:
    stream = io.StringIO()
    Output(form, stream, width).records(pages, COLUMNS)
    return stream.getvalue()


def test_table_has_aligned_columns_and_no_trailing_spaces() -> None:
    assert printed(TABLE, ROWS) == ("ID  NAME      SIZE\n0   web       1 GiB\n10  database  0 B\n")


def test_heading_is_printed_once_over_all_pages() -> None:
    text = printed(TABLE, ROWS[:1], ROWS[1:])
    assert text.count("NAME") == 1
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize("pages", [[], [[]], [ROWS], [ROWS[:1], [], ROWS[1:]]])
def test_json_and_yaml_of_any_pages_are_one_list_with_every_field(
    pages: list[list[Record]],
) -> None:
    rows = [row for page in pages for row in page]
    assert json.loads(printed(JSON, *pages)) == rows
    assert yaml.safe_load(printed(YAML, *pages)) == rows


@pytest.mark.parametrize("form", [JSON, YAML])
def test_one_object_is_one_object(form: str) -> None:
    stream = io.StringIO()
    Output(form, stream).record(ROWS[0])
    assert yaml.safe_load(stream.getvalue()) == ROWS[0]


def test_answer_to_one_target_is_an_object_and_to_several_a_list() -> None:
    one, both = io.StringIO(), io.StringIO()
    Output(JSON, one).answers(ROWS[:1], COLUMNS)
    Output(JSON, both).answers(ROWS, COLUMNS)
    assert json.loads(one.getvalue()) == ROWS[0]
    assert json.loads(both.getvalue()) == ROWS


def test_stream_of_json_is_one_object_a_line() -> None:
    stream = io.StringIO()
    Output(JSON, stream).stream(ROWS, COLUMNS)
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == ROWS


def test_stream_of_lines_keeps_its_columns_aligned() -> None:
    stream = io.StringIO()
    Output(TABLE, stream).stream([ROWS[1], ROWS[0]], COLUMNS)
    heading, first, second = stream.getvalue().splitlines()
    assert heading.index("SIZE") == first.index("0 B") == second.index("1 GiB")


def test_live_list_prints_what_is_new_where_no_terminal_is() -> None:
    stream = io.StringIO()
    Output(JSON, stream).live([(ROWS, ROWS), (ROWS, ROWS[:1])], COLUMNS)
    assert [json.loads(line)["id"] for line in stream.getvalue().splitlines()] == [0, 10, 0]


def test_narrow_terminal_cuts_the_widest_column() -> None:
    rows: list[Record] = [{"id": 1, "name": "n" * 60, "size_bytes": 1}]
    lines, _ = table_lines(rows, COLUMNS, 40)
    assert all(len(line) <= 40 for line in lines)
    assert "…" in lines[1]
    assert lines[1].endswith("1 B")


def test_narrow_terminal_leaves_optional_columns_out_before_it_cuts() -> None:
    columns = (Column("id"), Column("name"), Column("note", optional=True))
    lines, _ = table_lines([{"id": 1, "name": "n" * 30, "note": "x" * 30}], columns, 40)
    assert lines == ["ID  NAME", f"1   {'n' * 30}"]


def test_without_a_terminal_nothing_is_cut() -> None:
    rows: list[Record] = [{"id": 1, "name": "n" * 500, "size_bytes": 1}]
    assert "n" * 500 in printed(TABLE, rows)


def test_detail_has_a_line_a_field_and_an_item() -> None:
    record = {"id": 3, "disks": [{"image_id": 0}, {"image_id": 1}], "labels": {}, "host_id": None}
    assert detail_lines(record) == [
        "id       3",
        "disks    image_id=0",
        "         image_id=1",
        "labels   -",
        "host_id  -",
    ]


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("host_id", 0, "0"),
        ("host_id", None, "-"),
        ("name", "", "-"),
        ("size_bytes", 1536, "1.5 KiB"),
        ("memory_mib", 512, "512 MiB"),
        ("memory_mib", 2048, "2 GiB"),
        ("last_contact_ms", 12, "12 ms"),
        ("create_time_ms", 0, "-"),
        ("revoked", True, "yes"),
        ("replica_ids", ["1", "3"], "1, 3"),
    ],
)
def test_values_are_shown_with_their_units(field: str, value: object, shown: str) -> None:
    assert human(field, value) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1 << 40, "1 TiB"), (1 << 60, "1024 PiB")]
)
def test_sizes_take_the_largest_unit(count: int, shown: str) -> None:
    assert size(count) == shown


def test_age_of_what_was_made_in_the_future_is_zero() -> None:
    assert age(1 << 50) == "0s"


def test_control_characters_never_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\u202e") == "a\\x1b[2Jb\\nc\\u202e"


def test_console_bytes_pass_unchanged_into_a_file() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    Output(FORMS[0], stream).raw(b"\x1b[31m\xff\r\n")
    assert raw.getvalue() == b"\x1b[31m\xff\r\n"
