"""Runs `skyraft` in the test's process, as its entry point does, and keeps what it printed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frontend.cli.main import main


@dataclass(frozen=True, slots=True)
class Done:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*args: object, config: Path | None = None, stdin: str = "") -> Done:
    """Runs one command; *config* is the contexts file."""
    words = [str(arg) for arg in args]
    if config is not None:
        words += ["--config", str(config)]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), _stdin(stdin):
        code = main(words)
    return Done(code, _text(out), _text(err))


def done(*args: object, config: Path | None = None, stdin: str = "") -> Done:
    """The same, for a command that has to succeed."""
    result = run(*args, config=config, stdin=stdin)
    assert result.code == 0, result.err
    return result


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextmanager
def _stdin(text: str) -> Iterator[None]:
    kept = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    try:
        yield
    finally:
        sys.stdin = kept
