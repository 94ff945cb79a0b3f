"""`resnets check` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import resnets
from resnets.checks.kinds import KINDS
from resnets.checks.text import MOST_CLASSES, MOST_PATHS
from tests.checks.scenes import scene, write_scenes
from tests.command_line import call

PROBLEM = {"kind", "severity", "path", "related", "box", "detail"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "photos")


@pytest.fixture
def broken(root: Path) -> Path:
    """An error and a warning."""
    (root / "train" / "cat" / "1.jpg").write_bytes(b"")
    (root / "train" / "cat" / "notes.txt").write_text("")
    return root


def test_the_object_that_scripts_read(broken: Path) -> None:
    result = call("check", broken, "--json")
    assert result.code == 1
    assert result.json.keys() == {"data", "format", "samples", "classes", "problems"}
    assert (result.json["data"], result.json["format"]) == (str(broken), "folders")
    assert result.json["samples"] == {"train": 8, "val": 4}
    assert result.json["classes"] == {"cat": 6, "dog": 6}
    assert [each.keys() for each in result.json["problems"]] == [PROBLEM] * 2
    assert [(each["severity"], each["kind"]) for each in result.json["problems"]] == [
        ("error", "empty_file"), ("warning", "not_an_image"),
    ]  # fmt: skip


def test_exit_codes(root: Path, tmp_path: Path) -> None:
    assert call("check", root).code == 0
    (root / "train" / "cat" / "notes.txt").write_text("")
    assert [call("check", root, *flags).code for flags in ([], ["--strict"])] == [0, 1]
    assert call("check", root, "--strict", "--skip", "not_an_image").code == 0
    (root / "train" / "cat" / "1.jpg").write_bytes(b"")
    assert [call("check", root, *flags).code for flags in ([], ["--only", "not_an_image"])] == [1, 0]
    assert call("check", root, "--skip", "empty_file, not_an_image").code == 0
    archive = tmp_path / "photos.zip"
    archive.write_bytes(b"PK")
    (tmp_path / "nothing").mkdir()
    for nothing in (tmp_path / "nowhere", archive, tmp_path / "nothing", tmp_path / "nothing" / "x.csv"):
        result = call("check", nothing)
        assert (result.code, result.out) == (2, "")
        assert str(nothing) in result.err


def test_a_kind_that_is_not_known_is_refused_with_the_nearest(root: Path) -> None:
    for flag in ("--only", "--skip"):
        result = call("check", root, flag, "duplicat")
        assert (result.code, "'duplicat'" in result.err, "duplicate" in result.err) == (2, True, True)
    assert call("check", root, "--format", "folder").code == 2


def test_the_text_is_bounded(tmp_path: Path) -> None:
    counts = {f"class{number:03}": 2 for number in range(MOST_CLASSES + 10)}
    root = write_scenes(tmp_path / "photos", counts)
    for name in counts:
        (root / name / "notes.txt").write_text("")
    lines = call("check", root).out.splitlines()
    assert sum("notes.txt" in line for line in lines) == MOST_PATHS
    assert f"  and {len(counts) - MOST_PATHS:,} more" in lines
    assert "  and 10 more" in lines
    assert lines[0] == f"data  {root}: image folders, all {2 * len(counts)}"
    assert lines[1].startswith(f"warning  not_an_image ({len(counts)}): {KINDS['not_an_image'].meaning}")
    assert lines[-1] == f"0 errors, {len(counts)} warnings"
    assert "Nothing was decoded" in call("check", root, "--fast").out.splitlines()[-2]


def test_a_name_cannot_steer_the_terminal(root: Path) -> None:
    (root / "train" / "cat" / "\x1b[31m.jpg").write_bytes(b"")
    result = call("check", root)
    assert "\x1b" not in result.out
    assert "\\x1b[31m.jpg" in result.out


def test_the_page_and_its_json(root: Path, tmp_path: Path) -> None:
    odd = root / "train" / "<script>alert(1)"
    odd.mkdir()
    for number in range(2):
        scene(60 + number).save(odd / f"{number}.jpg")
    scene(60).save(odd / "copy.jpg")
    result = call("check", root, "--out", tmp_path / "out", "--json")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"check.html", "check.json"}
    assert json.loads((tmp_path / "out" / "check.json").read_text()) == result.json
    page = (tmp_path / "out" / "check.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count('src="data:image/jpeg;base64,') >= 2 + 6  # a copy and its original, and samples of three classes
    assert "duplicate (1)" in page
    assert "://" not in page.partition("<body>")[2]
    assert call("check", root, "--out", root / "train" / "cat" / "0.jpg").code == 1  # where no folder can be


def test_the_page_of_a_clean_folder_and_of_data_in_memory(root: Path, tmp_path: Path) -> None:
    for data in (root, "digits"):
        resnets.check(data, out=tmp_path / "out")
        assert "0 errors, 0 warnings" in (tmp_path / "out" / "check.html").read_text()


def test_digits_are_clean() -> None:
    result = resnets.check("digits")
    assert result.problems == ()
    assert dict(result.samples) == {"train": 1437, "test": 360}
    assert result.format == ""
    assert sum(result.classes.values()) == 1797


def test_from_python(broken: Path) -> None:
    result = resnets.check(broken)
    assert (result.failed, result.errors) == (True, 1)
    assert [problem.path for problem in result.of("empty_file")] == [str(broken / "train" / "cat" / "1.jpg")]
    with pytest.raises(resnets.UsageError, match="empty_file"):
        result.of("empty_fil")
    with pytest.raises(resnets.DataError, match="nowhere"):
        resnets.check("nowhere")


def test_progress_counts_the_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETS_SCAN_CACHE", "off")
    seen: list[int] = []
    resnets.check(root, progress=seen.append)
    assert seen[-1] == 12
    assert seen == sorted(seen)


def test_every_kind_has_a_meaning_and_a_way_out() -> None:
    for name, kind in KINDS.items():
        assert kind.meaning, name
        assert kind.way_out, name
