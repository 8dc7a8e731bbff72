"""An import is split into statements by number and length of rows."""

import pytest

from service.database.desired.gateway_import import BATCH_CHARACTERS, BATCH_ROWS, batches


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ([], []),
        ([1] * BATCH_ROWS, [BATCH_ROWS]),
        ([1] * (BATCH_ROWS + 1), [BATCH_ROWS, 1]),
        ([BATCH_CHARACTERS], [1]),
        ([BATCH_CHARACTERS + 1, 1], [1, 1]),
        ([1, BATCH_CHARACTERS + 1], [1, 1]),
        ([BATCH_CHARACTERS // 4] * 9, [4, 4, 1]),
    ],
)
def test_a_batch_is_limited_by_rows_and_by_characters(lengths: list[int], sizes: list[int]) -> None:
    found = list(batches(lengths, lambda length: length))
    assert [len(batch) for batch in found] == sizes
    assert [length for batch in found for length in batch] == lengths
