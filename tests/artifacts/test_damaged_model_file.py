"""Damaged model files: each loads, or is refused with an error that names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.artifacts import model_file
from resnets.artifacts.model import load
from resnets.artifacts.model_file import ModelCard
from resnets.core.errors import FileError, UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.initialize import create
from resnets.models.spec import Spec
from tests.artifacts.test_model_file import read_header


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    for length in (0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(data) - 4, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(FileError, match="not a complete safetensors file"):
            load(path)


def assert_loads_or_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        loaded = load(path)
    except (FileError, UsageError) as error:
        refusal = str(error)
    else:
        assert len(loaded.classes) == loaded.card.spec.classes
        return
    assert str(path) in refusal


def test_any_flipped_byte_of_the_header_loads_or_is_refused(path: Path) -> None:
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    for position in range(0, header, 13):
        flipped = bytes([data[position] ^ 1 << position % 8])
        assert_loads_or_is_refused(path, data[:position] + flipped + data[position + 1 :])


# Small, so that thousands of damaged copies load quickly.
SMALL = ModelCard(
    spec=Spec(depths=(1,), widths=(4,), stem="cifar", stem_width=4, classes=2),
    classes=("a", "b"),
    preprocessing=Preprocessing(resize=8, crop=8),
)
LEVEL = st.sampled_from(("file", "header", "description"))
INSERTED = st.binary(max_size=3) | st.sampled_from(
    (
        b"0",
        b"9" * 9,
        b"9" * 400,
        b"-",
        b"1e9",
        b"[",
        b"]",
        b"{",
        b'"',
        b"null",
        b"F64",
        b"BF16",
        b"I32",
        b",",
        b"\\ud800",
    )
)
# The position as a fraction of the length, the number of bytes removed there, and the bytes inserted.
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 12), INSERTED), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "model.safetensors"
    model_file.save(path, create(SMALL.spec).state_dict(), SMALL)
    return path


def edit(data: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for place, cut, inserted in changes:
        position = int(place * len(data))
        data = data[:position] + inserted + data[position + cut :]
    return data


def damage(path: Path, level: str, changes: list[tuple[float, int, bytes]]) -> bytes:
    """The file with changed bytes; below the level of the file, what surrounds the change still fits it."""
    if level == "file":
        return edit(path.read_bytes(), changes)
    header, tensors = read_header(path)
    if level == "description":
        text = header["__metadata__"]["resnets"].encode()
        header["__metadata__"]["resnets"] = edit(text, changes).decode(errors="replace")
    encoded = json.dumps(header).encode()
    if level == "header":
        encoded = edit(encoded, changes)
    return len(encoded).to_bytes(8, "little") + encoded + tensors


@settings(max_examples=150, deadline=None)
@given(LEVEL, CHANGES)
def test_a_damaged_file_loads_or_is_refused(small: Path, level: str, changes: list[tuple[float, int, bytes]]) -> None:
    assert_loads_or_is_refused(small.with_name("damaged"), damage(small, level, changes))


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None)
@given(LEVEL, CHANGES)
def test_two_thousand_damaged_files_load_or_are_refused(
    small: Path, level: str, changes: list[tuple[float, int, bytes]]
) -> None:
    assert_loads_or_is_refused(small.with_name("damaged"), damage(small, level, changes))


def test_the_undamaged_copy_of_the_damaged_ones_loads(small: Path) -> None:
    for level in ("file", "header", "description"):
        small.with_name("same").write_bytes(damage(small, level, []))
        assert load(small.with_name("same")).card == SMALL
