"""The nouns of the API and how their messages and methods are called."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

_VERBS = {
    *("Create", "Get", "Update", "Delete", "Import", "Upload", "Revoke"),
    *("Poweroff", "Resume", "Suspend", "Reboot", "Terminate", "Recover"),
}


@dataclass(frozen=True, slots=True)
class Noun:
    """One kind of object. Names in the .proto files are regular, so this is all it takes."""

    name: str
    """As typed on the command line and as in events: vm."""

    message: str
    """Its message: Vm. Methods are CreateVm, ListVms, ..."""

    gettable: bool = True
    """Whether there is a Get method."""

    @property
    def plural(self) -> str:
        """Also the field of the list's answer."""
        return f"{self.name}s"

    @property
    def module(self) -> Any:
        """protos.v1.vm_pb2, imported on first use: a command pays only for its own noun."""
        return importlib.import_module(f"protos.v1.{self.name}_pb2")

    def request(self, verb: str, /, **fields: Any) -> Any:
        """``VM.request("Get", id=3)`` is GetVmRequest(id=3). A field that is None is not set."""
        given = {name: value for name, value in fields.items() if value is not None}
        return getattr(self.module, f"{self.method(verb)}Request")(**given)

    def method(self, verb: str) -> str:
        """The full name of the method; what is one already (GetStatus) is left as it is."""
        if verb in ("List", "Watch"):
            return f"{verb}{self.message}s"
        return f"{verb}{self.message}" if verb in _VERBS else verb


CLUSTER = Noun("cluster", "Cluster")
HOST = Noun("host", "Host")
IMAGE = Noun("image", "Image")
TEMPLATE = Noun("template", "Template")
VM = Noun("vm", "Vm")
TOKEN = Noun("token", "Token", gettable=False)
EVENT = Noun("event", "Event", gettable=False)
