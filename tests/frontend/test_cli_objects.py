"""The verbs of every noun against a served front-end, without hosts."""

from __future__ import annotations

import io
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from frontend.cli import host, token, transfer
from frontend.cli.contexts import Context
from frontend.cli.errors import unavailable
from protos.v1.cluster_pb2 import GetStatusResponse, Replica
from tests.frontend.cli_runner import Done, done, run
from tests.frontend.front_end import FrontEnd
from tests.storage import disk_images

NETWORK = ("--bridge", "br0", "--cidr", "10.7.0.0/24", "--gateway", "10.7.0.1")


class Cli:
    """`skyraft` as the admin of *front_end*; answers as JSON."""

    def __init__(self, front_end: FrontEnd) -> None:
        self.config = front_end.directory / "admin" / "config.toml"

    def __call__(self, *words: object, stdin: str = "") -> Any:
        return done(*words, "-o", "json", config=self.config, stdin=stdin).json

    def text(self, *words: object) -> str:
        return done(*words, config=self.config).out

    def refused(self, *words: object, code: int = 1) -> Done:
        result = run(*words, config=self.config)
        assert result.code == code, result.err
        cause, next_step = result.err.splitlines()[-2:]
        assert cause.startswith("skyraft: ")
        assert next_step.startswith("  next: ")
        return result


@pytest.fixture(scope="module")
def cli(front_end: FrontEnd) -> Cli:
    return Cli(front_end)


@pytest.fixture(scope="module")
def cluster(cli: Cli) -> Any:
    return cli("cluster", "create", "default", *NETWORK, "--label", "place=here")


@pytest.fixture(scope="module")
def small(cli: Cli, cluster: Any) -> Any:
    return cli("template", "create", "small", "--vcpu", 1, "--memory", "64M", "--set", "A=1")


def test_cluster_is_created_shown_and_changed(cli: Cli, cluster: Any) -> None:
    assert cluster["network"]["last_ip"] == "10.7.0.254"
    assert cli("cluster", "show", "default") == cluster
    changed = cli(
        "cluster", "update", "default", "--dns", "9.9.9.9", "--label", "x=y", "--remove-label",
        "place", "--description", "first",
    )  # fmt: skip
    assert changed["network"] == {**cluster["network"], "dns": ["9.9.9.9"]}
    assert (changed["labels"], changed["description"]) == ({"x": "y"}, "first")
    assert [row["name"] for row in cli("cluster", "list")] == ["default"]


def test_template_comes_from_options_a_file_or_both(cli: Cli, small: Any, tmp_path: Path) -> None:
    assert (small["memory_mib"], small["context"]) == (64, {"A": "1"})
    document = tmp_path / "web.yaml"
    document.write_text("name: web\nvcpu: 2\nmemory: 128M\n")
    made = cli("template", "create", "-f", document, "--vcpu", 4)
    assert (made["name"], made["vcpu"], made["memory_mib"]) == ("web", 4, 128)
    changed = cli("template", "update", "web", "--memory", "256M", "--name", "web2")
    assert (changed["memory_mib"], changed["vcpu"], changed["name"]) == (256, 4, "web2")
    assert cli("template", "delete", "web2") == {"id": made["id"], "deleted": True}
    cli.refused("template", "show", "web2")


def test_template_from_standard_input(cli: Cli, cluster: Any) -> None:
    made = cli("template", "create", "-f", "-", stdin="name: piped\nvcpu: 1\nmemory: 64M\n")
    assert cli("template", "delete", made["id"])["deleted"]


def test_image_is_uploaded_with_its_checksum_and_waited_for(cli: Cli, tmp_path: Path) -> None:
    file = disk_images.qcow2(tmp_path / "tiny.qcow2")
    image = cli("image", "upload", file, "--wait", "--label", "os=none")
    assert (image["name"], image["state"], image["format"]) == ("tiny", "READY", "QCOW2")
    assert image["size_bytes"] == file.stat().st_size
    assert cli("image", "update", "tiny", "--description", "d")["description"] == "d"
    assert "tiny" in cli.text("image", "list")
    template = cli("template", "create", "disked", "--vcpu", 1, "--memory", "64M",
                   "--disk", "tiny:1G")  # fmt: skip
    assert template["disks"] == [{"image_id": image["id"], "size_bytes": 1 << 30}]
    cli("template", "delete", "disked")
    cli("image", "delete", "tiny")


def test_upload_of_what_is_no_image_is_rejected(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "text.qcow2"
    file.write_text("not an image" * 1000)
    assert "invalid_argument" in cli.refused("image", "upload", file).err


def test_upload_sends_all_chunks_and_tells_its_progress(tmp_path: Path) -> None:
    from protos.v1 import image_pb2

    file = tmp_path / "file"
    file.write_bytes(b"x" * (transfer.CHUNK_BYTES * 2 + 5))
    sent: list[int] = []
    header = image_pb2.UploadImageHeader(name="n")
    messages = list(transfer._messages(file, image_pb2, header, sent.append))
    assert messages[0].header == header
    assert b"".join(message.chunk for message in messages[1:]) == file.read_bytes()
    assert sent == [transfer.CHUNK_BYTES, transfer.CHUNK_BYTES, 5]


def test_upload_is_tried_again_with_the_same_request_id(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    headers: list[str] = []

    class Losing:
        """A front-end whose first replica dies under the upload."""

        failures = staticmethod(lambda *_: nullcontext())

        def method(self, *_: object) -> Any:
            return self._upload

        def _upload(self, messages: Any, **_: object) -> str:
            headers.append(next(messages).header.request_id)
            if len(headers) == 1:
                raise unavailable("the replica is gone", "try again")
            return "stored"

    losing: Any = Losing()
    assert transfer.upload(losing, file, request_id="r", name="n") == "stored"
    assert headers == ["r", "r"]


def test_vms_are_created_listed_changed_and_deleted(cli: Cli, small: Any) -> None:
    one = cli("vm", "create", "one", "--template", "small", "--set", "B=2", "--label", "l=m")
    assert (one["state"], one["context"]) == ("PENDING", {"A": "1", "B": "2"})
    many = cli("vm", "create", "many", "--template", "small", "--count", 3)
    assert sorted(vm["name"] for vm in many) == ["many-0", "many-1", "many-2"]
    assert len(cli("vm", "list", "--page-size", 2)) == 4
    assert cli("vm", "update", "one", "--name", "uno")["name"] == "uno"
    gone = cli("vm", "delete", "many-0", "many-1", "many-2")
    assert {vm["state"] for vm in gone} == {"DONE"}
    assert [vm["name"] for vm in cli("vm", "list")] == ["uno"]
    assert len(cli("vm", "list", "--all", "--stale")) == 4
    assert cli("vm", "terminate", "uno", "--wait")["state"] == "DONE"


def test_repeated_request_happens_once(cli: Cli, small: Any) -> None:
    words = ("vm", "create", "once", "--template", "small", "--count", 2, "--request-id", "again")
    first, second = cli(*words), cli(*words)
    assert [vm["id"] for vm in first] == [vm["id"] for vm in second]
    other = cli.refused("vm", "delete", "once-0", "--request-id", "again-0")
    assert "request_id_reused" in other.err
    cli("vm", "delete", "once-0", "once-1")


def test_wait_that_takes_too_long_exits_with_3_and_names_the_reason(cli: Cli, small: Any) -> None:
    result = cli.refused("vm", "create", "late", "--template", "small", "--wait",
                         "--timeout", 0.3, code=3)  # fmt: skip
    assert "timeout: vm late not RUNNING" in result.err
    assert "vm show" in result.err
    cli("vm", "delete", "late")


def test_wrong_state_leads_to_the_object(cli: Cli, small: Any) -> None:
    vm = cli("vm", "create", "idle", "--template", "small")
    result = cli.refused("vm", "poweroff", "idle")
    assert "wrong_state" in result.err
    assert f"skyraft vm show {vm['id']}" in result.err
    cli("vm", "delete", "idle")


def test_refusal_in_the_middle_shows_what_was_done_before(cli: Cli, small: Any) -> None:
    vm = cli("vm", "create", "first", "--template", "small")
    result = run("vm", "delete", vm["id"], 12345, "-o", "json", config=cli.config)
    assert result.code == 1
    assert result.json["state"] == "DONE"
    assert "not_found" in result.err


def test_stale_revision_is_refused(cli: Cli, small: Any) -> None:
    result = cli.refused("template", "update", "small", "--vcpu", 2, "--expected-revision", 1)
    assert "revision_mismatch" in result.err


def test_update_of_nothing_is_a_usage_error(cli: Cli, small: Any) -> None:
    assert "nothing to change" in cli.refused("template", "update", "small", code=2).err


def test_events_tell_who_did_what_under_which_request(cli: Cli, small: Any) -> None:
    vm = cli("vm", "create", "logged", "--template", "small", "--request-id", "logged-1")
    (created,) = [
        event
        for event in cli("event", "list", "--noun", "vm", "--object", "logged")
        if event["kind"] == "vm.created"
    ]
    assert (created["actor"], created["request_id"]) == ("user/admin", "logged-1")
    later = cli("event", "list", "--after", created["revision"] - 1)
    assert created in later
    newest = cli("event", "list", "-n", 1)
    assert newest[-1]["revision"] >= created["revision"]
    cli.refused("event", "list", "--object", "x", code=2)
    cli("vm", "delete", vm["id"])


def test_token_is_shown_once_and_can_be_revoked(cli: Cli, front_end: FrontEnd) -> None:
    words = ("token", "create", "--user", "bob", "--ttl", "2h", "--request-id", "bobs")
    answer = cli(*words)
    assert answer["secret"].startswith(f"skyraft.{front_end.cluster_id[:8]}.")
    assert "secret_lost" in cli.refused(*words).err
    revoked = cli("token", "revoke", answer["token"]["id"])
    assert revoked["revoked"]
    assert "revoked" in cli.text("token", "list")
    cli.refused("token", "create", code=2)


def test_token_context_works_on_the_token_port(
    cli: Cli, front_end: FrontEnd, tmp_path: Path
) -> None:
    secret = cli.text("token", "create", "--user", "eve").strip()
    config = tmp_path / "config.toml"
    ca = front_end.directory / "ca" / "ca.crt"
    words = ("--address", front_end.config.me.token, "--ca", ca, "--token-file", "-")
    done("context", "add", "eve", *words, config=config, stdin=secret)
    assert done("vm", "list", "-o", "json", config=config).json == []
    refused = run("token", "list", config=config)
    assert refused.code == 1
    assert "permission_denied" in refused.err


def test_join_command_is_ready_for_a_shell(cli: Cli, cluster: Any) -> None:
    answer = cli("host", "token", "--name", "node a", "--cluster", "default")
    words = shlex.split(answer["command"])
    assert words[:2] == ["skyraft-agent", "join"]
    assert words[-2:] == ["--name", "node a"]


def test_join_token_is_kept_out_of_the_list_of_processes(cli: Cli, cluster: Any) -> None:
    answer = cli("host", "token")
    words = shlex.split(answer["command"])
    assert words[words.index("--token") + 1] == "-"
    assert answer["secret"] not in answer["command"]
    command, secret = cli.text("host", "token").splitlines()
    assert command.startswith("skyraft-agent join ")
    assert secret.startswith("skyraft.")
    assert secret not in command


def test_join_command_names_the_ports_where_hosts_enrol() -> None:
    replicas = [Replica(id="1", token_address="h:1"), Replica(id="2", api_address="[::1]:2")]

    class Told:
        context = Context(name="a", addresses=("h:9",), ca=Path("ca"))

        def call(self, *_: object) -> GetStatusResponse:
            return GetStatusResponse(replicas=replicas)

    told: Any = Told()
    words = host._join_command(told, None)
    assert "--server 'h:1,[::1]:TOKENPORT'" in words


def test_join_command_leads_to_the_port_where_this_front_end_enrols(
    cli: Cli, cluster: Any, front_end: FrontEnd
) -> None:
    words = shlex.split(cli("host", "token")["command"])
    assert words[words.index("--server") + 1] == front_end.config.me.token


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"expire_time_ms": 1000}, "expired"),
        ({"expire_time_ms": 4_000_000_000_000}, "valid"),
        ({"expire_time_ms": 1000, "revoked": True}, "revoked"),
        ({"expire_time_ms": 1000, "used_by_host_id": 3}, "used by host 3"),
    ],
)
def test_list_of_tokens_tells_which_still_serve(record: dict[str, Any], said: str) -> None:
    assert token._condition({"revoked": False, "used_by_host_id": None, **record}) == said


def test_events_of_refused_strangers_can_be_asked_for(cli: Cli) -> None:
    assert cli("event", "list", "--noun", "security") == []
    refused = cli.refused("event", "list", "--noun", "security", "--object", "a", code=2)
    assert "have no object" in refused.err


@pytest.mark.parametrize(("name", "why"), [("", "empty"), ("7", "only digits"), ("a/b", "slash")])
def test_name_that_could_not_be_typed_later_is_refused(
    cli: Cli, small: Any, tmp_path: Path, name: str, why: str
) -> None:
    image = disk_images.qcow2(tmp_path / "tiny.qcow2")
    assert why in cli.refused("image", "upload", image, "--name", name).err
    assert why in cli.refused("cluster", "create", name, *NETWORK).err
    assert why in cli.refused("vm", "create", name, "--template", "small", code=2 - bool(name)).err
    assert why in cli.refused("template", "update", "small", "--name", name).err


def test_all_forms_of_a_list_have_the_same_objects(cli: Cli, small: Any) -> None:
    as_yaml = yaml.safe_load(io.StringIO(cli.text("template", "list", "-o", "yaml")))
    assert as_yaml == cli("template", "list")
    assert len(cli.text("template", "list").splitlines()) == len(as_yaml) + 1


def test_control_characters_in_arguments_do_not_reach_the_terminal(cli: Cli) -> None:
    assert "\x1b" not in cli.refused("vm", "show", "a\x1b[2J").err


def test_status_of_the_single_replica(cli: Cli, front_end: FrontEnd) -> None:
    status = cli("cluster", "status")
    assert status["leader_id"] == "1"
    assert status["replicas"][0]["role"] == "LEADER"
    assert status == {**cli("status"), **{k: status[k] for k in ("replicas",)}}
    assert "LEADER" in cli.text("status")


def test_unknown_replica_cannot_take_over(cli: Cli) -> None:
    assert "not_found" in cli.refused("cluster", "transfer", "--to", "9").err
