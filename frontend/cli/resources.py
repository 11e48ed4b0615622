"""What listing, showing, updating and deleting have in common for every noun."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from frontend.cli import lookup
from frontend.cli.errors import CliError
from frontend.cli.nouns import EVENT, VM, Noun
from frontend.cli.options import connect, output
from frontend.cli.output import Column
from frontend.cli.records import Record, to_record

if TYPE_CHECKING:
    from frontend.cli.connection import Connection

Frame = tuple[list[Record], list[Record]]
"""All records of a list, and those that are new in this frame."""


def show_list(
    noun: Noun,
    columns: Sequence[Column],
    *,
    page_size: int,
    stale: bool,
    watch: bool,
    **fields: Any,
) -> None:
    """Prints every page as it arrives; with *watch* then follows the changes."""
    connection = connect()
    if watch:
        include_done = bool(fields.get("include_done"))
        frames = _frames(connection, noun, page_size, stale, include_done, fields)
        output().live(frames, columns)
        return
    pages = connection.pages(noun, page_size=page_size, stale=stale, **fields)
    output().records(
        ([to_record(item) for item in getattr(page, noun.plural)] for page in pages), columns
    )


def show_one(noun: Noun, target: str, *, stale: bool, watch: bool) -> None:
    connection = connect()
    object_id = lookup.find(connection, noun, target)
    item = connection.call(noun, "Get", id=object_id, stale=stale)
    if watch:
        output().live_record(_versions(connection, noun, item))
    else:
        output().record(to_record(item))


def update(
    noun: Noun,
    target: str,
    changes: dict[str, Any],
    *,
    request_id: str,
    expected_revision: int,
    labels: Sequence[tuple[str, str]] = (),
    remove_labels: Sequence[str] = (),
) -> None:
    """Sets the fields of *changes* that are not None, and changes single labels.

    Labels are one field to the API, so they are read first and written back only if the object
    is still the same."""
    from google.protobuf.field_mask_pb2 import FieldMask

    from frontend.cli.errors import usage

    given = {name: value for name, value in changes.items() if value is not None}
    if not given and not labels and not remove_labels:
        raise usage("nothing to change", f"`skyraft {noun.name} update --help` tells what can be")
    connection = connect()
    object_id = lookup.find(connection, noun, target)
    item = getattr(noun.module, noun.message)(id=object_id, **given)
    paths = list(given)
    if labels or remove_labels:
        present = connection.call(noun, "Get", id=object_id)
        merged = {**present.labels, **dict(labels)}
        item.labels.update({key: merged[key] for key in merged if key not in remove_labels})
        paths.append("labels")
        expected_revision = expected_revision or present.revision
    answer = connection.call(
        noun,
        "Update",
        request_id=request_id,
        **{noun.name: item},
        update_mask=FieldMask(paths=paths),
        expected_revision=expected_revision,
    )
    output().record(to_record(answer))


def delete(
    noun: Noun, targets: Sequence[str], *, request_id: str, expected_revision: int = 0
) -> None:
    """Deletes one after the other and prints what is gone."""
    connection = connect()
    ids = lookup.find_all(connection, noun, targets)
    print_each(
        (
            _deleted(connection, noun, object_id, one_request, expected_revision)
            for object_id, one_request in zip(ids, request_ids(request_id, len(ids)), strict=True)
        ),
        [Column("id", noun.name), Column("deleted")],
    )


def print_each(records: Iterable[Record], columns: Sequence[Column]) -> None:
    """Prints what a verb did to each object; also when a later one was refused."""
    done: list[Record] = []
    try:
        for record in records:
            done.append(record)
    except CliError:
        if done:
            output().answers(done, columns)
        raise
    output().answers(done, columns)


def request_ids(base: str, count: int) -> list[str]:
    """One for each request of a command: a repeated command repeats each of them."""
    return [base] if count == 1 else [f"{base}-{number}" for number in range(count)]


def _deleted(
    connection: Connection, noun: Noun, object_id: int, request_id: str, revision: int
) -> Record:
    connection.call(noun, "Delete", id=object_id, request_id=request_id, expected_revision=revision)
    return {"id": object_id, "deleted": True}


def _frames(
    connection: Connection,
    noun: Noun,
    page_size: int,
    stale: bool,
    include_done: bool,
    fields: dict[str, Any],
) -> Iterator[Frame]:
    items: dict[int, Record] = {}
    revision = 0
    for page in connection.pages(noun, page_size=page_size, stale=stale, **fields):
        # Changes between two pages are seen twice rather than missed.
        revision = revision or page.revision
        items |= {item.id: to_record(item) for item in getattr(page, noun.plural)}
    yield list(items.values()), list(items.values())
    for changed in _changes(connection, noun, revision):
        if changed.get("deleted") or (changed.get("state") == "DONE" and not include_done):
            items.pop(changed["id"], None)
        else:
            items[changed["id"]] = changed
        yield [items[key] for key in sorted(items)], [changed]


def _versions(connection: Connection, noun: Noun, item: Any) -> Iterator[Record]:
    """The object as it is and at each change, until it is deleted."""
    yield to_record(item)
    for changed in _changes(connection, noun, item.revision, item.id):
        yield changed
        if changed.get("deleted"):
            return


def _changes(
    connection: Connection, noun: Noun, after: int, object_id: int | None = None
) -> Iterator[Record]:
    """Each object of *noun* that changed, as it then is."""
    if noun is VM:
        for answer in connection.watch(
            VM, lambda reached: VM.request("Watch", after_revision=reached, id=object_id), after
        ):
            yield to_record(answer.vm)
        return
    for answer in connection.watch(
        EVENT,
        lambda reached: EVENT.request(
            "Watch", after_revision=reached, noun=noun.name, object_id=object_id
        ),
        after,
    ):
        yield from _reread(connection, noun, answer.event.object_id)


def _reread(connection: Connection, noun: Noun, object_id: int) -> Iterator[Record]:
    if not noun.gettable:
        for page in connection.pages(noun, page_size=1000, stale=False):
            for item in getattr(page, noun.plural):
                if item.id == object_id:
                    yield to_record(item)
        return
    try:
        yield to_record(connection.call(noun, "Get", id=object_id))
    except CliError as error:
        if error.reason != "not_found":
            raise
        yield {"id": object_id, "deleted": True}
