"""Tables of templates: id -> Template, name -> id."""

from __future__ import annotations

from frontend.state.rows import Names, Rows
from protos.v1.template_pb2 import Template

_ROWS = Rows("templates", Template.FromString)
names = Names("templates_by_name")

get = _ROWS.get
put = _ROWS.put
delete = _ROWS.delete
list_page = _ROWS.list_page
