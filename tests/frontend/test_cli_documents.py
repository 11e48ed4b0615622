"""Templates written as files, and key files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from frontend.cli.documents import fill, mebibytes, ssh_keys
from frontend.cli.errors import EXIT_USAGE, CliError
from frontend.cli.lookup import find, find_all
from frontend.cli.nouns import IMAGE, VM
from frontend.cli.records import to_record
from protos.v1.image_pb2 import Image, ListImagesResponse
from protos.v1.template_pb2 import Template
from protos.v1.vm_pb2 import ListVmsResponse, Vm


class Listed:
    """A connection that only lists."""

    def __init__(self, *pages: Any) -> None:
        self._pages = pages

    def pages(self, *_: Any, **__: Any) -> Any:
        return iter(self._pages)


IMAGES: Any = Listed(ListImagesResponse(images=[Image(id=7, name="debian")]))


def filled(text: str) -> Template:
    template = Template()
    fill(template, io.StringIO(text), IMAGES)
    return template


def test_yaml_has_the_fields_of_the_api_and_two_conveniences() -> None:
    template = filled(
        "name: web\nvcpu: 2\nmemory: 2G\ndisks:\n- image: debian\n  size: 10G\n- image_id: 3\n"
    )
    assert (template.name, template.vcpu, template.memory_mib) == ("web", 2, 2048)
    assert [(disk.image_id, disk.size_bytes) for disk in template.disks] == [(7, 10 << 30), (3, 0)]


def test_json_is_read_too() -> None:
    assert filled('{"name": "web", "labels": {"a": "b"}}').labels["a"] == "b"


def test_what_show_prints_can_be_given_again() -> None:
    import json

    template = Template(name="web", vcpu=1, memory_mib=64, context={"A": "1"})
    assert filled(json.dumps(to_record(template))) == template


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("- a\n- b", "not a mapping"),
        ("{", "neither YAML nor JSON"),
        ("name: web\nvpcu: 2", "vpcu"),
        ("vcpu: many", "vcpu"),
        ("memory: 1.5", "memory"),
        ("memory: 1K", "whole MiB"),
        ("disks:\n- 3", "disks[0]"),
        ("disks:\n- image: debian\n  size: huge", "disks[0].size"),
    ],
)
def test_fault_in_a_file_is_named(text: str, cause: str) -> None:
    with pytest.raises(CliError) as caught:
        filled(text)
    assert cause in caught.value.cause
    assert caught.value.exit_code == EXIT_USAGE


def test_unknown_image_name_is_not_found() -> None:
    with pytest.raises(CliError, match="no image is called 'fedora'"):
        filled("disks:\n- image: fedora")


def test_key_files_are_read_without_comments(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# mine\nssh-ed25519 AAAA ann\n\nssh-rsa BBBB bob\n")
    assert ssh_keys(["k"], [file]) == ["k", "ssh-ed25519 AAAA ann", "ssh-rsa BBBB bob"]


def test_private_key_is_never_sent(tmp_path: Path) -> None:
    file = tmp_path / "id"
    file.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    with pytest.raises(CliError, match="private key"):
        ssh_keys([], [file])


def test_memory_is_whole_mebibytes() -> None:
    assert mebibytes(512 << 20) == 512
    for count in (0, 1000):
        with pytest.raises(CliError):
            mebibytes(count)


def test_digits_are_an_id_and_ask_nobody() -> None:
    nobody: Any = None
    assert find_all(nobody, VM, ["3", "0"]) == [3, 0]


def test_names_are_found_on_any_page() -> None:
    pages: Any = Listed(
        ListVmsResponse(vms=[Vm(id=0, name="a")]), ListVmsResponse(vms=[Vm(id=1, name="b")])
    )
    assert find_all(pages, VM, ["b", "7", "a"]) == [1, 7, 0]


def test_name_of_several_is_refused_with_their_ids() -> None:
    pages: Any = Listed(ListVmsResponse(vms=[Vm(id=4, name="a"), Vm(id=9, name="a")]))
    with pytest.raises(CliError, match="2 vms are called 'a': 4, 9"):
        find(pages, VM, "a")


def test_name_of_none_says_where_to_look() -> None:
    with pytest.raises(CliError, match="no image is called 'x'") as caught:
        find(IMAGES, IMAGE, "x")
    assert "skyraft image list" in caught.value.next_step
