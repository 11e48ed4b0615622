"""Tables of clusters: id -> Cluster, name -> id."""

from __future__ import annotations

from frontend.state.rows import Names, Rows
from frontend.state.store import ReadTxn
from protos.v1.cluster_pb2 import Cluster

_ROWS = Rows("clusters", Cluster.FromString)
names = Names("clusters_by_name")

get = _ROWS.get
put = _ROWS.put
delete = _ROWS.delete
list_page = _ROWS.list_page


def lowest(txn: ReadTxn) -> Cluster | None:
    """The cluster that is taken when none is asked for."""
    return next(iter(list_page(txn, limit=1)), None)
