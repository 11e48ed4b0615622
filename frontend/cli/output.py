"""Everything the CLI prints on standard output. Commands hand over records; the form is decided
here: aligned text for people, JSON or YAML with the same fields for programs."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from frontend.cli.records import Record

TABLE, JSON, YAML = FORMS = ("table", "json", "yaml")

_GAP = "  "
_CELL_MIN = 8
"""To this width a column may be cut where the terminal is too narrow."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list: a field of the record, or *cell* where a field alone says less."""

    field: str
    title: str = ""
    cell: Callable[[Record], str] | None = None
    optional: bool = False
    """Left out where the terminal is too narrow for all."""

    @property
    def heading(self) -> str:
        return (self.title or self.field).upper()

    def text(self, record: Record) -> str:
        if self.cell is not None:
            return printable(self.cell(record)) or "-"
        return human(self.field, record.get(self.field))


class Output:
    """Prints in one of FORMS."""

    def __init__(self, form: str, stream: TextIO | None = None, width: int = 0) -> None:
        """*width* 0: the terminal's, or unlimited where *stream* is no terminal."""
        self.form = form
        self._stream = stream or sys.stdout
        self._width = width or terminal_width(self._stream)

    def text(self, text: str) -> None:
        """As it is: for a completion script, a console log, a hint in the table form."""
        self._stream.write(text)
        self._stream.flush()

    def raw(self, data: bytes) -> None:
        """Bytes of a guest's console. A terminal gets no control characters but line ends and
        tabs: what a guest writes must not drive it."""
        if self._stream.isatty():
            text = data.decode("utf-8", errors="replace").replace("\r\n", "\n")
            kept = (char for char in text if char.isprintable() or char in "\n\t")
            self.text("".join(kept))
        else:
            self._stream.flush()
            self._stream.buffer.write(data)
            self._stream.buffer.flush()

    def record(self, record: Record) -> None:
        """One object."""
        if self.form == JSON:
            self.text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        elif self.form == YAML:
            self.text(_yaml(record))
        else:
            self.text("".join(line + "\n" for line in detail_lines(record)))

    def records(self, pages: Iterable[Sequence[Record]], columns: Sequence[Column]) -> None:
        """A list, printed page by page as it arrives; JSON is one array, YAML one sequence."""
        if self.form == TABLE:
            self._table(pages, columns)
            return
        empty = True
        for record in itertools.chain.from_iterable(pages):
            if self.form == YAML:
                self.text(_yaml([record]))
            else:
                self.text(("[\n" if empty else ",\n") + json.dumps(record, ensure_ascii=False))
            empty = False
        if self.form == YAML:
            self.text("[]\n" if empty else "")
        else:
            self.text("[]\n" if empty else "\n]\n")

    def answers(self, records: Sequence[Record], columns: Sequence[Column]) -> None:
        """What a verb did to one or several objects: one object, or a list of them."""
        if len(records) == 1 and self.form != TABLE:
            self.record(records[0])
        else:
            self.records([records], columns)

    def stream(self, records: Iterable[Record], columns: Sequence[Column]) -> None:
        """Line after line without an end in sight: JSON objects one a line, YAML documents."""
        widths: list[int] = []
        for record in records:
            if self.form == JSON:
                self.text(json.dumps(record, ensure_ascii=False) + "\n")
            elif self.form == YAML:
                self.text("---\n" + _yaml(record))
            else:
                first = not widths
                lines, widths = table_lines([record], columns, self._width, widths)
                self.text("".join(line + "\n" for line in lines[0 if first else 1 :]))

    def live(
        self, frames: Iterable[tuple[list[Record], list[Record]]], columns: Sequence[Column]
    ) -> None:
        """A list that is kept up to date: each frame is (all of it, what is new in it).

        A terminal sees the table change in place; elsewhere what is new is printed."""
        if self.form != TABLE or not self._stream.isatty():
            self.stream(itertools.chain.from_iterable(new for _, new in frames), columns)
        else:
            self._refresh(
                table_lines(all_of_it, columns, self._width)[0] for all_of_it, _ in frames
            )

    def live_record(self, records: Iterable[Record]) -> None:
        """One object that is kept up to date."""
        if self.form == TABLE and self._stream.isatty():
            self._refresh(detail_lines(record) for record in records)
            return
        for record in records:
            if self.form == JSON:
                self.text(json.dumps(record, ensure_ascii=False) + "\n")
            else:
                self.text("---\n")
                self.record(record)

    def live_text(self, screens: Iterable[Sequence[str]]) -> None:
        """Lines that replace each other, for views that are not a list of records."""
        if self._stream.isatty():
            self._refresh(screens)
        else:
            for lines in screens:
                self.text("".join(line + "\n" for line in [*lines, ""]))

    def _table(self, pages: Iterable[Sequence[Record]], columns: Sequence[Column]) -> None:
        widths: list[int] = []
        for page in pages:
            first = not widths
            lines, widths = table_lines(page, columns, self._width, widths)
            self.text("".join(line + "\n" for line in lines[0 if first else 1 :]))

    def _refresh(self, screens: Iterable[Sequence[str]]) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(file=self._stream, highlight=False)
        with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
            for lines in screens:
                live.update(Text("\n".join(lines), no_wrap=True), refresh=True)


def terminal_width(stream: TextIO) -> int:
    """Columns of the terminal behind *stream*, 0 if there is none."""
    return shutil.get_terminal_size().columns if stream.isatty() else 0


def table_lines(
    records: Sequence[Record], columns: Sequence[Column], width: int = 0, widths: Sequence[int] = ()
) -> tuple[list[str], list[int]]:
    """The heading and a line a record, and the columns' widths for the page that follows.

    *width* 0 cuts nothing. Columns of an earlier page (*widths*) get wider, never narrower."""
    cells = [[column.heading for column in columns]]
    cells += [[column.text(record) for column in columns] for record in records]
    needed = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if widths:
        # A column that was left out before stays out.
        needed = [max(pair) if pair[1] else 0 for pair in zip(needed, widths, strict=True)]
    fitted = _fitted(needed, columns, width) if width else needed
    return [_line(row, fitted) for row in cells], fitted


def detail_lines(record: Record) -> list[str]:
    """One object, a line a field; a nested object or list goes on below its name."""
    margin = max(map(len, record), default=0) + len(_GAP)
    lines = []
    for name, value in record.items():
        texts = list(_detail(name, value)) or ["-"]
        lines.append(f"{name:<{margin}}{texts[0]}")
        lines += [" " * margin + text for text in texts[1:]]
    return lines


def human(field: str, value: Any) -> str:
    """*value* for a person; the unit is in the field's name. Absent or empty is a dash."""
    if value is None or value == "" or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " ".join(f"{key}={human(key, item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(human(field, item) for item in value)
    if isinstance(value, int) and field.endswith("_bytes"):
        return size(value)
    if isinstance(value, int) and field.endswith("_mib"):
        return size(value << 20)
    if isinstance(value, int) and field.endswith("_time_ms"):
        return moment(value)
    if isinstance(value, int) and field.endswith("_ms"):
        return f"{value} ms"
    return printable(str(value))


def size(count: int) -> str:
    """Bytes in the largest unit that leaves at least 1, whole numbers without a fraction."""
    amount = float(count)
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount == int(amount) else f"{amount:.1f} {unit}"


def moment(time_ms: int) -> str:
    """Local time to the second; a dash for 0."""
    if not time_ms:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ms / 1000))


def clock(time_ms: int) -> str:
    """As `moment`, without the date if that is today's."""
    full = moment(time_ms)
    return full.removeprefix(time.strftime("%Y-%m-%d "))


def age(time_ms: int) -> str:
    """How long ago, in the largest unit."""
    if not time_ms:
        return "-"
    seconds = max(0, int(time.time() - time_ms / 1000))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def printable(text: str) -> str:
    """Without what would move the cursor or break the line: names may come from guests."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _detail(field: str, value: Any) -> Iterator[str]:
    if isinstance(value, list):
        yield from (human(field, item) for item in value)
    elif isinstance(value, dict):
        yield from (f"{key}={human(key, item)}" for key, item in value.items())
    else:
        yield human(field, value)


def _fitted(needed: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """Widths that fit: optional columns go first (width 0), then the widest give way."""
    widths = list(needed)
    for position in reversed(range(len(columns))):
        if columns[position].optional and _total(widths) > room:
            widths[position] = 0
    while _total(widths) > room:
        widest = max(range(len(widths)), key=lambda at: widths[at])
        if widths[widest] <= _CELL_MIN:
            break
        widths[widest] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    fitted = (
        cell.ljust(width) if len(cell) <= width else cell[: width - 1] + "…"
        for cell, width in zip(cells, widths, strict=True)
        if width
    )
    return _GAP.join(fitted).rstrip()


def _yaml(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text
