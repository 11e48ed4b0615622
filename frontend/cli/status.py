"""What `cluster status` shows: every replica asked for itself, and what it means together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from frontend.cli.connection import Connection
from frontend.cli.contexts import Context
from frontend.cli.diagnosis import explain
from frontend.cli.errors import CliError, unavailable
from frontend.cli.nouns import CLUSTER
from frontend.cli.options import context, output
from frontend.cli.output import TABLE, Column, Output, table_lines, terminal_width
from frontend.cli.records import Record, enum_name

ASK_TIMEOUT_S = 2.0
_REFRESH_S = 1.0
_LOW_DISK = "disk nearly full"

COLUMNS = (
    Column("id"),
    Column("role"),
    Column("term"),
    Column("commit_index", "commit"),
    Column("applied_index", "applied"),
    Column("lag"),
    Column("last_contact_ms", "heard"),
    Column("disk_free_bytes", "disk free"),
    Column("private_memory_bytes", "memory", optional=True),
    Column("version", optional=True),
    Column("address"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one address: a status or a failure."""

    address: str
    status: Any | None
    error: str = ""


def show(*, watch: bool) -> None:
    """Prints the status once, or each second until Ctrl-C.

    Raises unavailable (after printing) when no replica leads."""
    chosen = context()
    printer = output()
    if watch:
        _follow(chosen, printer)
        return
    record = survey(chosen)
    if printer.form == TABLE:
        printer.text("".join(line + "\n" for line in lines(record)))
    else:
        printer.record(record)
    if not record["leader_id"]:
        raise _no_leader(chosen, record)


def survey(chosen: Context) -> Record:
    """Asks every address of the context at the same time, each over a connection of its own."""
    with ThreadPoolExecutor(max_workers=len(chosen.addresses)) as pool:
        answers = list(pool.map(lambda address: _ask(chosen, address), chosen.addresses))
    return combine(answers)


def combine(answers: Sequence[Answer]) -> Record:
    """One record out of all answers; the leader is who says so at the highest term."""
    heard = [answer.status for answer in answers if answer.status is not None]
    leaders = [status for status in heard if _role(status) == "LEADER"]
    leader = max(leaders, key=lambda status: status.term, default=None)
    replicas = [_answered(answer, leader) for answer in answers if answer.status is not None]
    replicas += _silent(answers, heard, leader)
    return {
        "cluster_id": heard[0].cluster_id if heard else "",
        "leader_id": leader.replica_id if leader else "",
        "term": max((status.term for status in heard), default=0),
        "verdict": _verdict(leader, heard, len(replicas)),
        "replicas": sorted(replicas, key=lambda row: row["id"] or "~"),
    }


def lines(record: Record, width: int | None = None) -> list[str]:
    """For people: the table, what is wrong with single replicas, the verdict."""
    import sys

    width = terminal_width(sys.stdout) if width is None else width
    shown, _ = table_lines(record["replicas"], COLUMNS, width)
    for row in record["replicas"]:
        where = f"replica {row['id']}" if row["id"] else row["address"]
        if row["halted"]:
            shown.append(f"{where} {row['verdict'] or row['halted']}")
        elif row["error"]:
            shown.append(f"{where}: {row['error']}")
        elif row["verdict"].startswith(_LOW_DISK) and row["id"] != record["leader_id"]:
            shown.append(f"{where}: {row['verdict']}")
    versions = {row["version"] for row in record["replicas"] if row["version"]}
    if len(versions) > 1:
        shown.append(f"the replicas run different versions: {', '.join(sorted(versions))}")
    front_end = f"front-end {record['cluster_id'][:8]}: " if record["cluster_id"] else ""
    return [*shown, "", f"{front_end}{record['verdict']}"]


def _follow(chosen: Context, printer: Output) -> None:
    """There is no stream of this: a replica that hangs could not send on it anyway."""

    def records() -> Iterator[Record]:
        while True:
            yield survey(chosen)
            time.sleep(_REFRESH_S)

    if printer.form == TABLE:
        printer.live_text(lines(record) for record in records())
    else:
        printer.stream(records(), ())


def _ask(chosen: Context, address: str) -> Answer:
    connection = Connection(chosen, addresses=(address,), timeout_s=ASK_TIMEOUT_S)
    try:
        request = CLUSTER.request("GetStatus")
        with connection.failures(CLUSTER, diagnose=False):
            method = connection.method(CLUSTER, "GetStatus")
            return Answer(address, method(request, timeout=ASK_TIMEOUT_S))
    except CliError as error:
        if error.reason in ("unavailable", "deadline_exceeded"):
            error = explain(chosen, (address,)) or error
        return Answer(address, None, error.cause)
    finally:
        connection.close()


def _answered(answer: Answer, leader: Any) -> Record:
    status = answer.status
    assert status is not None
    seen = _seen_by(leader, status.replica_id)
    return {
        "id": status.replica_id,
        "address": answer.address,
        "reachable": True,
        "role": _role(status),
        "term": status.term,
        "last_index": status.last_index,
        "commit_index": status.commit_index,
        "applied_index": status.applied_index,
        "lag": None if leader is None else max(0, leader.commit_index - status.applied_index),
        "last_contact_ms": seen.last_contact_ms if seen is not None else None,
        "disk_free_bytes": status.disk_free_bytes,
        "private_memory_bytes": status.private_memory_bytes,
        "version": status.version,
        "halted": status.halted,
        "verdict": status.verdict,
        "error": "",
    }


def _silent(answers: Sequence[Answer], heard: Sequence[Any], leader: Any) -> list[Record]:
    """A row for every address without an answer, and for replicas the context does not list."""
    known = {replica.id: replica.api_address for status in heard for replica in status.replicas}
    missing = {
        replica_id: address
        for replica_id, address in known.items()
        if replica_id not in {status.replica_id for status in heard}
    }
    silent = [answer for answer in answers if answer.status is None]
    rows = []
    for answer in silent:
        match = next((key for key in missing if missing[key] == answer.address), "")
        if not match and len(missing) == len(silent) == 1:
            match = next(iter(missing))  # the address is a token port: told by elimination
        missing.pop(match, None)
        rows.append(_row_of_silent(match, answer.address, answer.error, leader))
    if all(row["id"] for row in rows):
        error = "not among the addresses of this context"
        rows += [_row_of_silent(key, missing[key], error, leader) for key in missing]
    return rows


def _row_of_silent(replica_id: str, address: str, error: str, leader: Any) -> Record:
    seen = _seen_by(leader, replica_id)
    unknown = dict.fromkeys(("term", "last_index", "commit_index", "applied_index", "lag"), None)
    return {
        "id": replica_id,
        "address": address,
        "reachable": False,
        "role": "UNREACHABLE",
        **unknown,
        "last_contact_ms": seen.last_contact_ms if seen is not None else None,
        "disk_free_bytes": None,
        "private_memory_bytes": None,
        "version": "",
        "halted": "",
        "verdict": "",
        "error": error,
    }


def _seen_by(leader: Any, replica_id: str) -> Any:
    if leader is None:
        return None
    return next((each for each in leader.replicas if each.id == replica_id), None)


def _verdict(leader: Any, heard: Sequence[Any], replicas: int) -> str:
    """The leader's words; without one, what the others say."""
    if leader is not None:
        # A replica knows its own disk alone.
        low = [each.replica_id for each in heard if each.verdict.startswith(_LOW_DISK)]
        others = ", ".join(sorted(set(low) - {leader.replica_id}))
        said = str(leader.verdict)
        return (
            f"{_LOW_DISK} at replica {others}; {said.removeprefix('healthy, ')}" if others else said
        )
    if not heard:
        return f"none of {replicas} addresses answers"
    return str(heard[0].verdict) or "no leader"


def _no_leader(chosen: Context, record: Record) -> CliError:
    answering = [row for row in record["replicas"] if row["reachable"]]
    if not answering:
        found = explain(chosen, chosen.addresses)
        if found is not None:
            return found
    return unavailable(
        f"no replica leads; {len(answering)} of {len(record['replicas'])} answer",
        "start the replicas that are missing; a majority of them elects a leader by itself",
        reason="no_leader",
    )


def _role(status: Any) -> str:
    return enum_name(status.DESCRIPTOR.fields_by_name["role"].enum_type, status.role) or "UNKNOWN"
