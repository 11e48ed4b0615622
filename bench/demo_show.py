"""What the demo shows while it runs: a spinner and ticks on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Show:
    """Steps are numbered as they begin. Everything goes to *console*."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step of the demo; an exception marks it as failed and goes on up."""
        self._number += 1
        label = f"{self._number}/{self._total} {title}"
        started = time.monotonic()
        try:
            if self._console.is_terminal:
                with self._console.status(escape(label)):
                    yield
            else:
                self._console.print(escape(label))
                yield
        except BaseException:
            self._console.print(f"[red]✗[/] {escape(label)}", highlight=False)
            raise
        took_s = time.monotonic() - started
        self._console.print(
            f"[green]✓[/] [bold]{escape(label)}[/]  {took_s:.1f} s", highlight=False
        )

    def tell(self, text: str) -> None:
        """A fact that the present step found."""
        self._console.print(f"      {text}", highlight=False, markup=False, soft_wrap=True)
