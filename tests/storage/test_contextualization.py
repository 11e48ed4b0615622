"""What a guest reads about itself is what the user wrote, and never runs by itself."""

from __future__ import annotations

import json
import subprocess
from io import BytesIO
from pathlib import Path

import pycdlib
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.v1.vm_pb2 import Nic, Vm
from storage.contextualization import (
    context_script,
    hostname,
    seed_files,
    write_context_iso,
    write_seed_iso,
)
from storage.errors import StorageError

HOSTILE = [
    'it\'s "quoted"',
    "$(touch pwned) `touch pwned`",
    "line one\nline two; touch pwned\n",
    "'; touch pwned; '",
    "back\\slash \\",
    "tab\tand \r return",
    "-n # ! * ? [a] ~ & | < > ${HOME}",
    "",
    "prüfung ☁",
]


def machine(**changed: object) -> Vm:
    vm = Vm(id=3, name="Web Server_1", ssh_public_keys=["ssh-ed25519 AAAA ann@home"])
    vm.nics.append(
        Nic(
            nic_id=0,
            mac="02:00:AC:14:00:05",
            ip="172.20.0.5",
            prefix_length=24,
            gateway="172.20.0.1",
            dns=["172.20.0.2", "172.20.0.3"],
        )
    )
    vm.MergeFrom(Vm(**changed))
    return vm


def sourced(script: str, directory: Path, names: list[str]) -> dict[str, str]:
    """The values that a POSIX shell has after sourcing *script*."""
    (directory / "context.sh").write_text(script)
    shown = "; ".join(f"printf '%s\\0' \"${name}\"" for name in names)
    done = subprocess.run(
        ["sh", "-eu", "-c", f". ./context.sh; {shown}"],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    assert done.stderr == b""
    return dict(zip(names, done.stdout.decode().split("\0"), strict=False))


def label_and_files(path: Path) -> tuple[str, dict[str, bytes]]:
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    label = iso.pvd.volume_identifier.decode().strip()
    files = {}
    for entry in iso.list_children(joliet_path="/"):
        if entry.is_file():
            name = entry.file_identifier().decode("utf-16-be")
            content = BytesIO()
            iso.get_file_from_iso_fp(content, joliet_path=f"/{name}")
            files[name] = content.getvalue()
    iso.close()
    return label, files


def test_network_and_keys_reach_the_shell(tmp_path):
    names = ["ETH0_IP", "ETH0_MAC", "ETH0_MASK", "ETH0_GATEWAY", "ETH0_DNS", "SET_HOSTNAME"]
    assert sourced(context_script(machine()), tmp_path, [*names, "SSH_PUBLIC_KEY"]) == {
        "ETH0_IP": "172.20.0.5",
        "ETH0_MAC": "02:00:AC:14:00:05",
        "ETH0_MASK": "255.255.255.0",
        "ETH0_GATEWAY": "172.20.0.1",
        "ETH0_DNS": "172.20.0.2 172.20.0.3",
        "SET_HOSTNAME": "web-server-1",
        "SSH_PUBLIC_KEY": "ssh-ed25519 AAAA ann@home",
    }


def test_hostile_values_come_out_intact_and_inert(tmp_path):
    context = {f"V{number}": value for number, value in enumerate(HOSTILE)}
    script = context_script(machine(context=context, ssh_public_keys=HOSTILE))
    values = sourced(script, tmp_path, [*context, "SSH_PUBLIC_KEY"])
    keys = values.pop("SSH_PUBLIC_KEY")
    assert values == context
    assert keys == "\n".join(["ssh-ed25519 AAAA ann@home", *HOSTILE])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["context.sh"]


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_survives_the_shell(tmp_path_factory, value):
    script = context_script(machine(context={"V": value}))
    assert sourced(script, tmp_path_factory.mktemp("sh"), ["V"]) == {"V": value}


@pytest.mark.parametrize("name", ["A B", "A;touch pwned", "1A", "", "A=B", "$(x)", "A\nB", "É"])
def test_name_that_is_no_variable_is_refused(name):
    with pytest.raises(StorageError) as refused:
        context_script(machine(context={name: "x"}))
    assert (refused.value.reason, refused.value.code) == ("context_invalid", "invalid_argument")


def test_nul_is_refused_rather_than_lost():
    with pytest.raises(StorageError, match="NUL"):
        context_script(machine(context={"A": "x\0y"}))


def test_context_cannot_take_another_address(tmp_path):
    script = context_script(machine(context={"ETH0_IP": "10.0.0.1", "START_SCRIPT": "true"}))
    values = sourced(script, tmp_path, ["ETH0_IP", "START_SCRIPT"])
    assert values == {"ETH0_IP": "172.20.0.5", "START_SCRIPT": "true"}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("web", "web"), ("Web.Server", "web-server"), ("☁", "vm-3"), ("a" * 80, "a" * 63)],
)
def test_hostname_is_made_fit_from_the_name(name, wanted):
    assert hostname(Vm(id=3, name=name)) == wanted


def test_hostname_of_the_user_wins():
    assert hostname(machine(context={"SET_HOSTNAME": "db.example.org"})) == "db.example.org"


def test_seed_is_cloud_init_s(tmp_path):
    files = seed_files(machine(context={"SET_HOSTNAME": 'x"\n- evil: $(id)'}))
    assert files["user-data"].startswith("#cloud-config\n")
    user = yaml.safe_load(files["user-data"])
    assert user["hostname"] == 'x"\n- evil: $(id)'
    assert user["ssh_authorized_keys"] == ["ssh-ed25519 AAAA ann@home"]
    assert yaml.safe_load(files["meta-data"])["instance-id"] == "skyraft-3"
    network = yaml.safe_load(files["network-config"])
    assert network["ethernets"]["eth0"] == {
        "match": {"macaddress": "02:00:ac:14:00:05"},
        "set-name": "eth0",
        "addresses": ["172.20.0.5/24"],
        "routes": [{"to": "0.0.0.0/0", "via": "172.20.0.1"}],
        "nameservers": {"addresses": ["172.20.0.2", "172.20.0.3"]},
    }
    assert json.dumps(network)


def test_disks_carry_the_labels_that_guests_look_for(tmp_path):
    vm = machine(context={"A": "1"})
    for write, name in ((write_context_iso, "context.iso"), (write_seed_iso, "seed.iso")):
        for _ in range(2):
            write(tmp_path / name, vm)
    label, files = label_and_files(tmp_path / "context.iso")
    assert (label, files) == ("CONTEXT", {"context.sh": context_script(vm).encode()})
    label, files = label_and_files(tmp_path / "seed.iso")
    assert label == "cidata"
    assert set(files) == {"user-data", "meta-data", "network-config"}
    assert (tmp_path / "context.iso").stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["context.iso", "seed.iso"]


def test_context_that_is_too_large_is_refused(tmp_path):
    with pytest.raises(StorageError, match="at most"):
        write_context_iso(tmp_path / "context.iso", machine(context={"A": "x" * (2 << 20)}))
    assert list(tmp_path.iterdir()) == []
