"""Tables of hosts: id -> Host, name -> id, hash of the agent's public key -> id."""

from __future__ import annotations

from frontend.state.rows import Names, Rows
from protos.v1.host_pb2 import Host

_ROWS = Rows("hosts", Host.FromString)
names = Names("hosts_by_name")
keys = Names("hosts_by_key")

get = _ROWS.get
put = _ROWS.put
delete = _ROWS.delete
list_page = _ROWS.list_page
