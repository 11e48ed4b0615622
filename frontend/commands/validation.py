"""What a request may contain, whatever the state. Apply calls this on every road into the log.

Each check raises Rejected("invalid_argument") that names the field. The limits are here alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError, ip_address
from typing import Any

from google.protobuf.message import Message

from frontend.errors import Rejected
from protos.identity import USER, Identity
from protos.v1.cluster_pb2 import Network
from protos.v1.template_pb2 import TemplateDisk

NAME_CHARS_MAX = 128
DESCRIPTION_CHARS_MAX = 4096
DETAIL_CHARS_MAX = 1024
REQUEST_ID_CHARS_MAX = 64
LABELS_MAX = 64
LABEL_CHARS_MAX = 256
CONTEXT_ENTRIES_MAX = 64
CONTEXT_BYTES_MAX = 64 * 1024
SSH_KEYS_MAX = 32
SSH_KEY_CHARS_MAX = 8192
VCPU_MAX = 512
MEMORY_MIB_MAX = 16 * 1024 * 1024
DISKS_MAX = 16
DISK_BYTES_MAX = 1 << 46
DNS_MAX = 4
TTL_SECONDS_MAX = 365 * 24 * 3600
PREFIX_LENGTHS = range(8, 31)

_OBJECTS = frozenset({"cluster", "host", "image", "template", "vm"})

_REQUEST_ID = re.compile(rf"[ -~]{{1,{REQUEST_ID_CHARS_MAX}}}")
# Controls, spaces that look like another one, and what hides or turns text. Spelt out: Python's
# tables change with its version, and then replicas would not agree on what they accept.
_LAST_OF_PLANES = "".join(f"\\U{plane:04x}fffe\\U{plane:04x}ffff" for plane in range(17))
_UNFIT = re.compile(
    r"[\x00-\x1f\x7f-\xa0\xad"
    r"\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb"
    r"\ud800-\uf8ff\ufdd0-\ufdef"
    rf"{_LAST_OF_PLANES}"
    r"\U000e0000-\U000e007f\U000f0000-\U0010ffff]"
)
_LABEL_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?")
_CONTEXT_KEY = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SSH_KEY = re.compile(
    r"(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-nistp(?:256|384|521)"
    r"|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r" [A-Za-z0-9+/]{16,}={0,3}(?: [^\x00-\x1f\x7f]*)?"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BRIDGE = re.compile(r"[a-z][a-z0-9_.-]{0,14}")


def invalid(field: str, detail: str) -> Rejected:
    return Rejected("invalid_argument", f"{field}: {detail}", field)


def cleaned(text: str, chars_max: int = DETAIL_CHARS_MAX) -> str:
    """What a host or a stranger said, fit for logs and terminals: such texts are not refused."""
    return _UNFIT.sub("?", text[:chars_max])


def request_id(value: str) -> None:
    if not value:
        raise invalid(
            "request_id",
            "is empty: choose a new one for each change, such as a UUID, and send the same one"
            " when you ask again, so that the change is made once",
        )
    if not _REQUEST_ID.fullmatch(value):
        raise invalid(
            "request_id", f"is not 1 to {REQUEST_ID_CHARS_MAX} printable ASCII characters"
        )


def name(value: str, field: str = "name") -> None:
    if not value:
        raise invalid(field, "is empty")
    if len(value) > NAME_CHARS_MAX:
        raise invalid(field, f"must have 1 to {NAME_CHARS_MAX} characters, has {len(value)}")
    if _UNFIT.search(value):
        raise invalid(field, "has characters that cannot be printed")
    if value[0] == " " or value[-1] == " ":
        raise invalid(field, "begins or ends with a space")


def object_name(value: str, field: str = "name") -> None:
    """What a person calls an object by, where an id would do as well."""
    name(value, field)
    if value.isascii() and value.isdigit():
        raise invalid(field, f"{value} is only digits and would be taken for an id: add a letter")
    if "/" in value:
        raise invalid(field, "must not have a slash (/)")


def description(value: str, field: str = "description") -> None:
    if len(value) > DESCRIPTION_CHARS_MAX:
        raise invalid(field, f"is longer than {DESCRIPTION_CHARS_MAX} characters")
    if _CONTROL.search(value):
        raise invalid(field, "has control characters")


def labels(value: Mapping[str, str], field: str = "labels") -> None:
    if len(value) > LABELS_MAX:
        raise invalid(field, f"more than {LABELS_MAX} labels")
    for key, text in value.items():
        if not _LABEL_KEY.fullmatch(key):
            raise invalid(field, f"key {key!r}: up to 63 of a-z, 0-9 and ._/- inside")
        if len(text) > LABEL_CHARS_MAX or _UNFIT.search(text):
            raise invalid(field, f"{key}: up to {LABEL_CHARS_MAX} printable characters")


def context(value: Mapping[str, str], field: str = "context") -> None:
    if len(value) > CONTEXT_ENTRIES_MAX:
        raise invalid(field, f"more than {CONTEXT_ENTRIES_MAX} entries")
    size = 0
    for key, text in value.items():
        if not _CONTEXT_KEY.fullmatch(key):
            raise invalid(field, f"key {key!r}: must look like START_SCRIPT, up to 64 characters")
        if _CONTROL.search(text):
            raise invalid(field, f"{key}: has control characters")
        size += len(key) + len(text.encode())
    if size > CONTEXT_BYTES_MAX:
        raise invalid(field, f"is {size} bytes, more than {CONTEXT_BYTES_MAX}")


def ssh_public_keys(value: Sequence[str], field: str = "ssh_public_keys") -> None:
    if len(value) > SSH_KEYS_MAX:
        raise invalid(field, f"more than {SSH_KEYS_MAX} keys")
    for position, key in enumerate(value):
        if len(key) > SSH_KEY_CHARS_MAX or not _SSH_KEY.fullmatch(key):
            raise invalid(
                f"{field}[{position}]", "is no OpenSSH public key; give one line such as id.pub has"
            )


def size(vcpu: int, memory_mib: int) -> None:
    if not 1 <= vcpu <= VCPU_MAX:
        raise invalid("vcpu", f"must be 1 to {VCPU_MAX}, is {vcpu}")
    if not 1 <= memory_mib <= MEMORY_MIB_MAX:
        raise invalid("memory_mib", f"must be 1 to {MEMORY_MIB_MAX}, is {memory_mib}")


def disks(value: Sequence[TemplateDisk]) -> None:
    if len(value) > DISKS_MAX:
        raise invalid("disks", f"more than {DISKS_MAX} disks")
    for position, disk in enumerate(value):
        if disk.image_id < 0:
            raise invalid(f"disks[{position}].image_id", "is negative")
        if disk.size_bytes > DISK_BYTES_MAX:
            raise invalid(f"disks[{position}].size_bytes", f"more than {DISK_BYTES_MAX}")


def sha256(value: str, field: str) -> None:
    if not _SHA256.fullmatch(value):
        raise invalid(field, "must be 64 lower-case hexadecimal digits")


def user(value: str, field: str = "user") -> None:
    try:
        Identity("0" * 32, USER, value)
    except ValueError as error:
        raise invalid(field, str(error)) from None


def ttl_seconds(value: int) -> None:
    if not 0 <= value <= TTL_SECONDS_MAX:
        raise invalid("ttl_seconds", f"must be 0 (default) to {TTL_SECONDS_MAX}")


def network(value: Network) -> Network:
    """A complete copy of *value*: the range filled in when it was left open."""
    net = _cidr(value.cidr)
    if not _BRIDGE.fullmatch(value.bridge):
        raise invalid("network.bridge", "up to 15 of a-z, 0-9 and _.- beginning with a letter")
    if value.gateway:
        _inside(net, value.gateway, "network.gateway")
    first = _inside(net, value.first_ip or str(net[1]), "network.first_ip")
    last = _inside(net, value.last_ip or str(net[-2]), "network.last_ip")
    if first > last:
        raise invalid("network.last_ip", f"{last} is below first_ip {first}")
    _dns(value.dns)
    whole = Network()
    whole.CopyFrom(value)
    whole.first_ip, whole.last_ip = str(first), str(last)
    return whole


def _cidr(text: str) -> IPv4Network:
    try:
        net = IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise invalid("network.cidr", f"must look like 172.20.0.0/24: {error}") from None
    if "/" not in text or net.prefixlen not in PREFIX_LENGTHS:
        raise invalid("network.cidr", "the prefix length must be /8 to /30")
    if net.is_loopback or net.is_multicast or net.is_unspecified or net.is_link_local:
        raise invalid("network.cidr", f"{net} is not for hosts")
    return net


def _inside(net: IPv4Network, text: str, field: str) -> IPv4Address:
    try:
        address = IPv4Address(text)
    except AddressValueError as error:
        raise invalid(field, str(error)) from None
    if address not in net or address in (net[0], net[-1]):
        raise invalid(field, f"{address} is no host address of {net}")
    return address


def _dns(servers: Iterable[str]) -> None:
    for position, server in enumerate(servers):
        field = f"network.dns[{position}]"
        if position >= DNS_MAX:
            raise invalid(field, f"more than {DNS_MAX} servers")
        try:
            ip_address(server)
        except ValueError as error:
            raise invalid(field, str(error)) from None


_TEXTS: dict[str, Callable[[Any], None]] = {
    "name": name,
    "description": description,
    "labels": labels,
    "context": context,
    "ssh_public_keys": ssh_public_keys,
}


def texts(request: Message) -> None:
    """The fields of *request*, and of the object in it, that could be long. For before the log:
    apply checks all of them, but then they are in it."""
    for field, value in request.ListFields():
        check = _TEXTS.get(field.name)
        if check is not None:
            check(value)
        elif field.name in _OBJECTS:
            texts(value)
