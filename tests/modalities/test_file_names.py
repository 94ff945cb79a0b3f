from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnets.modalities.file_names import Names, NamesBuilder


@given(st.lists(st.binary(max_size=9), max_size=12))
def test_names_are_the_list_that_they_were_made_of(listed: list[bytes]) -> None:
    names = Names.of(listed)
    assert list(names) == listed
    assert [names[i - len(listed)] for i in range(len(listed))] == listed
    assert list(names[1:3]) == listed[1:3]
    order = np.arange(len(listed))[::-1].copy()
    assert list(names[order]) == listed[::-1]
    assert names == Names.of(iter(listed))
    assert names.nbytes == sum(map(len, listed)) + 8 * (len(listed) + 1)


def test_names_are_collected_a_folder_at_a_time() -> None:
    builder = NamesBuilder()
    builder += []
    builder += [b"a/1", b"a/2"]
    builder += (name for name in [b"b/1"])
    assert len(builder) == 3
    assert list(builder.build()) == [b"a/1", b"a/2", b"b/1"]
    assert Names.of([b"ab", b"c"]) != Names.of([b"a", b"bc"])


def test_a_number_beyond_the_last_is_an_index_error() -> None:
    for number in (2, -3):
        with pytest.raises(IndexError, match="there are 2 names"):
            Names.of([b"a", b"b"])[number]
