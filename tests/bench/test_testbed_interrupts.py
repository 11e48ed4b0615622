"""A program that is interrupted ends in good order, once, whatever comes after the first signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import pytest

from bench.testbed.interrupts import NUMBERS, Interruption, ends_in_good_order, undisturbed


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_signal_takes_down_says_so_and_exits(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, ends_in_good_order(lambda: "all gone"):
        signal.raise_signal(number)
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err == "all gone\n"


def test_second_signal_disturbs_neither_clean_up_nor_take_down() -> None:
    done = []

    def take_down() -> str:
        signal.raise_signal(signal.SIGTERM)
        done.append("take-down")
        return ""

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            done.append("clean-up")

    with pytest.raises(SystemExit) as ended, ends_in_good_order(take_down):
        work()
    assert done == ["clean-up", "take-down"]
    assert ended.value.code == 130


def test_swallowed_signal_is_found_at_the_next_check() -> None:
    interruption = Interruption()
    with contextlib.suppress(KeyboardInterrupt):
        interruption.note(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        interruption.check()


def test_signal_cancels_a_coroutine_and_lets_it_clean_up() -> None:
    interruption, done = Interruption(), []

    async def work() -> None:
        try:
            interruption.note(signal.SIGINT, None)
            await asyncio.Event().wait()
        finally:
            interruption.note(signal.SIGINT, None)
            await asyncio.sleep(0)
            done.append("clean-up")

    with pytest.raises(KeyboardInterrupt):
        interruption.run(work())
    assert done == ["clean-up"]


def test_failure_without_a_signal_is_raised_as_it_is() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="own"), ends_in_good_order(str):
        raise ValueError("own")
    assert signal.getsignal(signal.SIGTERM) == before


def test_undisturbed_work_is_done_before_the_signal_takes_effect() -> None:
    done = []

    def work() -> None:
        with undisturbed():
            with undisturbed():
                signal.raise_signal(signal.SIGINT)
                done.append("inner")
            done.append("outer")
        done.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inner", "outer"]
