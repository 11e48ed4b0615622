"""A front-end of one replica, served over real TLS and gRPC by a thread of the test's process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frontend.front_end import FrontEnd


@pytest.fixture(scope="module")
def front_end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontEnd]:
    with FrontEnd(tmp_path_factory.mktemp("front-end")) as served:
        yield served
