"""Pages of lists."""

from __future__ import annotations

import pytest

from frontend.api import pages
from frontend.errors import Rejected
from protos.v1.template_pb2 import Template


def test_page_sizes_have_a_default_and_a_limit() -> None:
    assert [pages.size(0), pages.size(7), pages.size(10**6)] == [100, 7, 1000]


def test_negative_page_size_is_refused() -> None:
    with pytest.raises(Rejected) as refused:
        pages.size(-1)
    assert refused.value.field == "page_size"


def test_token_leads_back_to_where_it_was_made() -> None:
    assert [pages.start(pages.token(last)) for last in (0, 99, 2**62)] == [0, 99, 2**62]


@pytest.mark.parametrize("forged", ["x", "LTE=", "ü", "MQ", "MQ==MQ==", "4oiS"])
def test_forged_token_is_refused(forged: str) -> None:
    with pytest.raises(Rejected) as refused:
        pages.start(forged)
    assert (refused.value.code, refused.value.field) == ("invalid_argument", "page_token")


def test_last_page_has_no_token() -> None:
    rows = [Template(id=number) for number in range(3)]
    assert pages.cut(rows, 3) == (rows, "")
    assert pages.cut(rows, 2) == (rows[:2], pages.token(1))


def test_page_of_large_rows_is_cut_where_a_message_would_be_too_large() -> None:
    rows = [Template(id=number, description="x" * (pages.BYTES_MAX // 3)) for number in range(9)]
    assert pages.cut(rows, 9) == (rows[:2], pages.token(1))
    assert pages.cut(rows[8:], 9) == (rows[8:], "")


def test_row_larger_than_a_page_is_still_given() -> None:
    rows = [Template(id=number, description="x" * pages.BYTES_MAX) for number in range(2)]
    assert pages.cut(rows, 9) == (rows[:1], pages.token(0))
