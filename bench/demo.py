"""
The main job, shown: three replicas, two hosts, three guests, a killed leader, nothing lost.

Exit status 0 only if every promise held.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click
import grpc.aio
from rich.console import Console
from rich.table import Table

from bench.demo_guests import GuestFailed
from bench.demo_once import Broken
from bench.demo_show import Show
from bench.demo_steps import FAKE_SCRIPT, Demo
from bench.report import Row, commit, describe_machine, readable
from bench.testbed.bed import Bed, bed_directories, remove_own, sweep
from bench.testbed.guest import GuestBuildError
from bench.testbed.hosts import NEEDED, HostFailed
from bench.testbed.interrupts import Interruption, ends_in_good_order
from bench.testbed.network import NetworkError
from bench.testbed.replicas import ReplicaFailed

STEPS = 7
FAILURES = (
    Broken,
    GuestBuildError,
    GuestFailed,
    HostFailed,
    NetworkError,
    ReplicaFailed,
    TimeoutError,
    grpc.aio.AioRpcError,
)
"""What a promise that does not hold looks like; anything else is a bug of the demo."""


@click.command(help=__doc__)
@click.option("--fake", is_flag=True, help="Fake hosts: needs no root and takes seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--keep", is_flag=True, help="Leave it running and say how to use it.")
@click.option("--stop", is_flag=True, help="End what --keep left running.")
@click.option("--quick", is_flag=True, help="Accepted as everywhere; the demo is short already.")
def main(fake: bool, as_json: bool, keep: bool, stop: bool, quick: bool) -> None:
    console = Console(stderr=as_json)
    with ends_in_good_order(remove_own) as interruption:
        try:
            removed = sweep(kept=stop)
        except NetworkError as err:
            raise click.ClickException(f"an earlier bed can't be removed: {err}") from err
        if stop:
            for name in removed or [f"nothing: user {getpass.getuser()} left no demo running"]:
                console.print(f"ended {name}")
            return
        if not fake and (missing := _missing()):
            raise click.ClickException(
                f"real hosts need {missing}; `./dev demo --fake` shows the same on fake hosts"
            )
        rows, usage, failure = _run(console, interruption, fake=fake, keep=keep)
        if as_json:
            _print_json(rows, fake=fake, failure=failure)
        else:
            console.print(_table(rows))
        if failure:
            raise click.ClickException(failure)
        console.print("Every promise held.")
        if usage:
            console.print(usage, highlight=False, soft_wrap=True, markup=False)


def _run(
    console: Console, interruption: Interruption, *, fake: bool, keep: bool
) -> tuple[list[Row], str, str]:
    """The figures, how to use what is kept, and what did not hold; empty when all did."""
    show = Show(console, STEPS - 1 if keep else STEPS)
    console.print(f"Skyraft demo on {'fake' if fake else 'real'} hosts, commit {commit()}")
    rows: list[Row] = []
    usage = ""
    try:
        with Bed(fake=fake, script=FAKE_SCRIPT) as bed:
            demo = Demo(bed, show)
            rows = demo.rows
            try:
                _steps(demo, show, interruption)
            except (*FAILURES, BaseExceptionGroup):
                if not interruption.number:
                    console.print(f"logs of all processes: {bed.save_logs()}", highlight=False)
                raise
            if keep:
                usage = _usage(bed)
                bed.keep()
            else:
                with show.step("Everything is torn down"):
                    demo.tear_down()
    except FAILURES as err:
        return rows, "", _in_words(err)
    except BaseExceptionGroup as group:
        broken, bugs = group.split(FAILURES)
        if bugs is not None or broken is None:
            raise
        return rows, "", "; ".join(_in_words(err) for err in broken.exceptions)
    return rows, usage, ""


def _in_words(err: BaseException) -> str:
    if isinstance(err, grpc.aio.AioRpcError):
        return f"{err.code().name}: {err.details()}"
    return str(err) or "what the step waits for did not come in time"


def _steps(demo: Demo, show: Show, interruption: Interruption) -> None:
    with show.step("Three replicas start and elect a leader"):
        demo.elect()
    for title, step in (
        ("Two hosts enrol with one-time tokens", demo.enrol),
        ("An image is imported, a template registered", demo.import_image),
        ("Three VMs boot and say who they are", demo.boot),
        ("The leader is killed with -9 under a stream of writes", demo.kill_leader),
        ("The killed replica restarts and catches up", demo.catch_up),
    ):
        interruption.check()
        with show.step(title):
            interruption.run(step())


def _missing() -> str:
    programs = [program for program in NEEDED if shutil.which(program) is None]
    needs = ["root"] if os.geteuid() != 0 else []
    return " and ".join([*needs, *programs])


def _usage(bed: Bed) -> str:
    """How a bed that was kept is used. Raises ReplicaFailed."""
    leader = bed.replicas.wait_until_ready()
    pids = [
        f"  {process.name}: pid {process.pid}{', leads' if member == leader else ''}"
        for member, process in enumerate(bed.replicas.processes)
    ]
    programs = Path(sys.executable).parent
    return "\n".join(
        (
            "",
            "It goes on running:",
            *pids,
            "To use it:",
            f"  export PATH={programs}:$PATH SKYRAFT_CONFIG={bed.replicas.contexts}",
            "  skyraft status",
            "  skyraft vm list",
            "  skyraft vm console 0",
            f"Logs and state: {bed.directory}",
            f"To end it: {stop_command(os.environ)}",
        )
    )


def stop_command(environment: Mapping[str, str]) -> str:
    """A bed is its user's: what `./dev demo` started through sudo is ended the same way."""
    through_sudo = os.geteuid() == 0 and "SUDO_UID" in environment
    return "sudo ./dev demo --stop" if through_sudo else "./dev demo --stop"


def _table(rows: list[Row]) -> Table:
    table = Table("figure", "value", "unit", box=None, show_header=False, pad_edge=False)
    table.columns[1].justify = "right"
    for row in rows:
        table.add_row(row.name, readable(row.value), row.unit)
    return table


def _print_json(rows: list[Row], *, fake: bool, failure: str) -> None:
    document = {
        "bench": "demo",
        "hosts": "fake" if fake else "real",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(bed_directories()),
        "commit": commit(),
        "held": not failure,
        "failure": failure,
        "results": [row.as_json() for row in rows],
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
