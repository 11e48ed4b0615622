"""
Tells a guest who it is: the two read-only disks that guests look for at boot.

CONTEXT holds context.sh, shell assignments as OpenNebula's guest packages expect them; cidata is
cloud-init's NoCloud seed. Every value comes out in the guest as it went in here, whatever it
holds: quoting is shlex's and yaml's, never ours.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pycdlib
import yaml

from protos.v1.vm_pb2 import Nic, Vm
from storage.errors import StorageError, from_os_error
from storage.part import sync_directory, sync_file

CONTEXT_BYTES_MAX = 1 << 20
"""Of one file. Guests read them with the shell: more is a mistake or an attack."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_HOSTNAME_NOT = re.compile(r"[^a-z0-9-]+")


def write_context_iso(path: Path, vm: Vm) -> None:
    """
    Writes the disk labelled CONTEXT to *path*, replacing what is there. Blocking.

    StorageError context_invalid when a name is no shell variable or a value holds a NUL.
    """
    _write_iso(path, "CONTEXT", {"context.sh": context_script(vm)})


def write_seed_iso(path: Path, vm: Vm) -> None:
    """Writes cloud-init's NoCloud disk, labelled cidata, to *path*. As write_context_iso()."""
    _write_iso(path, "cidata", seed_files(vm))


def context_script(vm: Vm) -> str:
    """context.sh: one assignment a line. The network's variables are ours; other names are free."""
    variables = {"SET_HOSTNAME": hostname(vm)}
    if vm.ssh_public_keys:
        variables["SSH_PUBLIC_KEY"] = "\n".join(vm.ssh_public_keys)
    variables.update(vm.context)
    variables.update({"VMID": str(vm.id), "NETWORK": "YES"})
    for nic in vm.nics:
        variables.update(_nic_variables(nic))
    return "# Context variables of this virtual machine\n" + "".join(
        f"{_checked_name(name)}={shlex.quote(_checked_value(name, variables[name]))}\n"
        for name in sorted(variables)
    )


def seed_files(vm: Vm) -> dict[str, str]:
    """user-data, meta-data and network-config (version 2) by file name."""
    user: dict[str, Any] = {"hostname": hostname(vm), "preserve_hostname": False}
    if vm.ssh_public_keys:
        user["ssh_authorized_keys"] = list(vm.ssh_public_keys)
        user["disable_root"] = False
    # The epoch is not part of the id: a guest that moves must not run its first boot again.
    meta = {"instance-id": f"skyraft-{vm.id}", "local-hostname": hostname(vm)}
    network = {
        "version": 2,
        "ethernets": {f"eth{nic.nic_id}": _nic_network(nic) for nic in vm.nics},
    }
    return {
        "user-data": "#cloud-config\n" + _yaml(user),
        "meta-data": _yaml(meta),
        "network-config": _yaml(network),
    }


def hostname(vm: Vm) -> str:
    """The VM's SET_HOSTNAME, else its name made fit for a host (RFC 1123), else vm-<id>."""
    wanted = vm.context.get("SET_HOSTNAME", "")
    if wanted:
        return wanted
    return _HOSTNAME_NOT.sub("-", vm.name.lower())[:63].strip("-") or f"vm-{vm.id}"


def _nic_variables(nic: Nic) -> dict[str, str]:
    network = ipaddress.ip_interface(f"{nic.ip}/{nic.prefix_length}").network
    values = {
        "IP": nic.ip,
        "MAC": nic.mac,
        "MASK": str(network.netmask),
        "NETWORK": str(network.network_address),
        "GATEWAY": nic.gateway,
        "DNS": " ".join(nic.dns),
    }
    return {f"ETH{nic.nic_id}_{name}": value for name, value in values.items() if value}


def _nic_network(nic: Nic) -> dict[str, Any]:
    ethernet: dict[str, Any] = {
        "match": {"macaddress": nic.mac.lower()},
        "set-name": f"eth{nic.nic_id}",
        "addresses": [f"{nic.ip}/{nic.prefix_length}"],
    }
    if nic.gateway:
        ethernet["routes"] = [{"to": "0.0.0.0/0", "via": nic.gateway}]
    if nic.dns:
        ethernet["nameservers"] = {"addresses": list(nic.dns)}
    return ethernet


def _checked_name(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise StorageError(
            "context_invalid",
            f"{name!r:.80} can't be the name of a shell variable",
            "use letters, digits and underscores only",
        )
    return name


def _checked_value(name: str, value: str) -> str:
    if "\0" in value:
        raise StorageError(
            "context_invalid", f"the value of {name} holds a NUL byte", "encode it, as base64 say"
        )
    return value


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=False)


def _write_iso(path: Path, label: str, files: Mapping[str, str]) -> None:
    # Joliet and Rock Ridge both: busybox, cloud-init and Windows guests each look elsewhere.
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    for number, (name, text) in enumerate(files.items()):
        content = text.encode()
        if len(content) > CONTEXT_BYTES_MAX:
            raise StorageError(
                "context_invalid",
                f"{name} would be {len(content) >> 10} KiB, at most 1024 fit",
                "pass a URL rather than the data",
            )
        iso.add_fp(
            BytesIO(content),
            len(content),
            f"/FILE{number}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    image = BytesIO()
    iso.write_fp(image)
    iso.close()
    writing = path.with_name(f".{path.name}.writing")
    try:
        writing.touch(mode=0o600)
        writing.write_bytes(image.getvalue())
        sync_file(writing)
        writing.rename(path)
        sync_directory(path.parent)
    except OSError as err:
        raise from_os_error(err, f"writing {path.name}") from err
    finally:
        writing.unlink(missing_ok=True)
