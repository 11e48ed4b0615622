"""Tables of images: id -> Image, name -> id."""

from __future__ import annotations

from frontend.state.rows import Names, Rows
from protos.v1.image_pb2 import Image

_ROWS = Rows("images", Image.FromString)
names = Names("images_by_name")

get = _ROWS.get
put = _ROWS.put
delete = _ROWS.delete
list_page = _ROWS.list_page
