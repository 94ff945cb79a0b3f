"""The vocabulary is that of the field: words that were replaced do not come back, in names, files, messages and docs.

Only words are listed here that mean one thing in this project. Old names stay where old files and old calls are read.
"""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Parts of identifiers, as `snake_case` and `CamelCase` divide them, and what to say in place of them.
PARTS = {
    "chance": "p",
    "dealt": "with_rng_keys",
    "foreign": "pretrained, other",
    "judge": "predictor",
    "judged": "evaluated",
    "keeper": "callback",
    "keeping": "checkpoints",
    "listener": "subscriber",
    "listeners": "subscribers",
    "neighbours": "subgroup",
    "observer": "subscriber",
    "observers": "subscribers",
    "picture": "image",
    "pictures": "images",
    "survey": "scan",
    "surveyed": "scanned",
    "tell": "emit, log",
    "told": "emitted, logged",
    "whence": "where from",
    "wish": "signal",
}
# Whole identifiers.
NAMES = {
    "Captured": "CUDAGraphStep",
    "Board": "TensorBoardTracker",
    "Growth": "ProgressiveResize",
    "Keeping": "CheckpointPolicy",
    "Look": "tta_crops",
    "PixelSource": "InMemoryDataset",
    "FolderSource": "FolderDataset",
    "Numbers": "BytesPerElement",
    "Single": "NetworkPredictor",
    "TestView": "TestTimeAugmentation",
    "VIEWS": "AUGMENTATIONS",
    "View": "Transform",
    "Views": "Augmentations",
    "Watch": "CheckpointCallback",
    "_Watch": "CheckpointCallback",
    "ahead": "prefetch",
    "deal": "set_rng_keys",
    "exact_statistics": "precise_bn",
    "growth": "progressive_resize",
    "heart": "heartbeat",
    "joined": "process_group",
    "leads": "is_main",
    "look": "tta_crops",
    "naming_the_missing": "collective_errors",
    "test_view": "tta",
    "views": "augmentations, transforms",
}
# Phrases in comments, docstrings, messages and docs.
PHRASES = {
    r"--best\b": "--monitor",
    r"--capture\b": "cuda_graph",
    r"--views\b": "--tta",
    r"\bcomput\w+ (?:blocks )?twice\b|\bblocks twice\b": "recomputed (activation checkpointing)",
    r"\bexact_statistics\b": "precise_bn",
    r"\bis no amount of\b": "is not a valid",
    r"\bjudge[ds]?\b": "predictor, evaluated",
    r"\blooked at\b": "seen, cropped",
    r"\bnaming_the_missing\b": "collective_errors",
    r"\btest_view\b": "tta",
    r"\bviews\.\w+=": "augmentations.NAME=",
    r"\bwhence\b": "where from",
    r"\bwish(?:es)?\b": "signal",
    r"\bTestView\b": "TestTimeAugmentation",
}
# And in messages and docstrings of code alone: in the docs, these words may mean something else.
CODE_PHRASES = {
    r"\bkeepers?\b": "callback",
    r"\blisteners?\b": "subscriber",
    r"\bobservers?\b": "subscriber",
    r"\bpictures?\b": "image",
    r"\bsurvey(?:s|ed)?\b": "scan",
}
# Names of files and folders, without what is after the dot.
FILES = {
    "ahead": "prefetch",
    "board": "tensorboard",
    "captured": "cuda_graph",
    "cores": "workers",
    "draws": "rng",
    "foreign": "pretrained",
    "frozen": "config",
    "job": "runner",
    "judge": "predictor",
    "keeping": "callbacks",
    "lab": "experiments",
    "observers": "subscribers",
    "pictures": "pillow",
    "ranks": "distributed",
    "recompute": "checkpointing",
    "sizes": "units",
    "sources": "base, splits",
    "survey": "scan",
    "synchronized": "sync_batch_norm",
    "views": "augmentations, transforms",
}
# Where old names have to stand: what reads old files and calls, its tests, and what was written at its time.
ALLOWED = (
    "CHANGELOG.md",
    "benchmarks/results/",
    "docs/log.md",
    "docs/results/",
    "src/resnets/core/old_modules.py",
    "src/resnets/core/renamed.py",
    "tests/compatibility/",
    "tests/core/names_0_2.txt",
    "tests/core/test_old_modules.py",
    "tests/core/test_renamed.py",
    "tests/core/test_renamed_classes.py",
    "tests/core/test_signatures.py",
    "tests/test_interface.py",
    "tests/test_old_names.py",
    "tests/test_words.py",
)
# A line that makes an old name work or print beside the new one; a comment can say so.
KEEPS_OLD_NAMES = re.compile(r"renamed_arguments\(|with_old_keys\(|# .*(?:old name|version 0\.2)")
CHECKED = ("src", "tests", "benchmarks", "scripts", "docs", "README.md", "CONTRIBUTING.md")


def old_names_in(source: str) -> Iterator[tuple[int, str, str]]:
    """The line, the identifier and what to say in place of it, for each old name in Python code."""
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if KEEPS_OLD_NAMES.search(token.line):
            continue
        if token.type == tokenize.NAME and (before, token.string) != (".", "tell"):  # of a file: its position
            parts = [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", token.string)]
            parts = " ".join(parts).replace("told apart", "").split()
            instead = NAMES.get(token.string) or next((PARTS[part] for part in parts if part in PARTS), None)
            if instead is not None:
                yield token.start[0], token.string, instead
        before = token.string


def old_phrases_in(text: str, *, code: bool = False) -> Iterator[tuple[int, str, str]]:
    """The same for phrases in text of any kind."""
    lines = text.splitlines()
    for pattern, instead in (PHRASES | CODE_PHRASES if code else PHRASES).items():
        for match in re.finditer(pattern, text, re.IGNORECASE if pattern.islower() else 0):
            line = text.count("\n", 0, match.start()) + 1
            if not KEEPS_OLD_NAMES.search(lines[line - 1]):
                yield line, match[0], instead


def tracked() -> list[str]:
    """The files of the repository in which no old word may stand."""
    listed = subprocess.run(["git", "ls-files", "--", *CHECKED], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.splitlines()
    if not names:  # not a clone
        names = [str(p.relative_to(ROOT)) for folder in ("src", "tests") for p in sorted((ROOT / folder).rglob("*.py"))]
    return [name for name in names if not name.startswith(ALLOWED) and (ROOT / name).is_file()]


@pytest.mark.parametrize("folder", CHECKED)
def test_no_old_word_is_left(folder: str) -> None:
    found = []
    for name in tracked():
        if name.split("/")[0] != folder or Path(name).suffix not in ("", ".py", ".md", ".html", ".css"):
            continue
        text = (ROOT / name).read_text()
        code = name.endswith(".py")
        words = [*old_phrases_in(text, code=code), *(old_names_in(text) if code else ())]
        found += [f"{name}:{line}: {word}, now {instead}" for line, word, instead in sorted(words)]
    assert not found, "\n" + "\n".join(found)


def test_no_file_has_an_old_name() -> None:
    stems = {name: {part.split(".")[0].removeprefix("test_") for part in name.split("/")} for name in tracked()}
    found = [f"{name}, now {FILES[stem]}" for name, of_it in stems.items() for stem in sorted(of_it & set(FILES))]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("def read(picture): ...", "picture"),
        ("class PictureReader: ...", "PictureReader"),
        ("def test_every_change_is_told(): ...", "test_every_change_is_told"),
        ("f(test_view=1)", "test_view"),
        ("from a import Views", "Views"),
        ("resize.growth = x", "growth"),
    ],
)
def test_old_names_are_found(source: str, word: str) -> None:
    assert [found for _, found, _ in old_names_in(source)] == [word]


def test_names_of_the_field_are_not_taken_for_old_ones() -> None:
    assert not list(
        old_names_in("x.view(1); file.tell(); preview = lookup(pictured, 'a picture'); test_two_are_told_apart()")
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a\nUse `--views flip`.", "--views"),
        ("Whence its mean?", "Whence"),
        ("computes blocks twice so that it fits", "computes blocks twice"),
        ("how it was judged", "judged"),
        ("train 'views.mix=[]'", "views.mix="),
    ],
)
def test_old_phrases_are_found(text: str, word: str) -> None:
    assert [found for _, found, _ in old_phrases_in(text)] == [word]
