"""The promise, on 9,969 photographs: every planted fault is found by its path, and the clean copy has no alarm."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import resnets
from tests.checks.test_images import gigantic, transparent, turned
from tests.conftest import truncate

pytestmark = pytest.mark.slow
PEAK = """
import json, resource, sys
import resnets
result = resnets.check(sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak": peak, "problems": [each.to_json() for each in result.problems]}))
"""


def of_photograph(change: Callable[[Image.Image], Image.Image], **options: object) -> Callable[[Path], None]:
    def plant(path: Path) -> None:
        with Image.open(path) as image:
            changed = change(image.convert("RGB"))
        path.unlink()
        changed.save(path, **options)  # type: ignore[arg-type]

    return plant


FRAME = Image.new("RGB", (9, 9))
PLANTS: dict[str, Callable[[Path], object]] = {
    "unreadable": lambda path: path.write_bytes(b"no image"),
    "truncated": truncate,
    "empty_file": lambda path: path.write_bytes(b""),
    "too_large": gigantic,
    "odd_mode": of_photograph(lambda image: image.convert("CMYK"), format="JPEG"),
    "transparency": transparent,
    "orientation": turned,
    "animation": of_photograph(lambda image: image, format="PNG", save_all=True, append_images=[FRAME]),
    "constant": of_photograph(lambda image: Image.new("RGB", image.size, (10, 20, 30)), format="JPEG"),
    "odd_size": of_photograph(lambda image: image.resize((20, 20)), format="JPEG"),
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import SHARED

    if not (SHARED / "imagenette").is_dir():
        pytest.skip(f"needs the development data in {SHARED}")
    root = tmp_path_factory.mktemp("data") / "imagenette"
    for split in ("train", "val"):
        shutil.copytree(SHARED / "imagenette" / split, root / split, copy_function=shutil.copyfile)
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    return root


def run(root: Path) -> tuple[int, set[tuple[str, str]]]:
    """Bytes of memory at the peak, and kind and path of each problem."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(root)], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    return answer["peak"], {(each["kind"], each["path"]) for each in answer["problems"]}


def test_every_fault_is_found_and_nothing_else(photographs: Path) -> None:
    peak, found = run(photographs)
    assert found == set()
    assert peak < 2**30

    train, val = photographs / "train", photographs / "val"
    folders = sorted(train.iterdir())
    planted: set[tuple[str, str]] = set()
    for number, (kind, plant) in enumerate(PLANTS.items()):
        path = sorted(folders[number].iterdir())[number]
        plant(path)
        planted.add((kind, str(path)))
    for kind, source, copy in (
        ("duplicate", 0, folders[0]),
        ("split_leak", 1, val / folders[1].name),
        ("label_conflict", 2, folders[3]),
    ):
        shutil.copyfile(sorted(folders[source].iterdir())[100], copy / "z.jpg")
        planted.add((kind, str(copy / "z.jpg")))
    original, near = sorted(folders[4].iterdir())[50], folders[4] / "z.jpg"
    with Image.open(original) as image:
        image.convert("RGB").resize((180, 180)).save(near, quality=70)
    planted.add(("near_duplicate", str(near)))
    shutil.copytree(val / folders[0].name, train / ".ipynb_checkpoints")
    shutil.copyfile(original, train / "loose.jpg")
    (folders[0] / "notes.txt").write_text("notes")
    name = sorted(folders[5].iterdir())[70]
    swapped = name.with_name(name.name.swapcase())
    shutil.copyfile(sorted(folders[5].iterdir())[71], swapped)
    (train / "empty").mkdir()
    (val / "stranger").mkdir()
    shutil.copyfile(sorted(folders[6].iterdir())[80], val / "stranger" / "0.jpg")
    planted |= {
        ("hidden", str(train / ".ipynb_checkpoints")),
        ("loose_file", str(train / "loose.jpg")),
        ("not_an_image", str(folders[0] / "notes.txt")),
        ("empty_class", str(train / "empty")),
        ("unknown_class", str(val / "stranger")),
        ("name_collision", max(str(name), str(swapped))),
    }
    assert planted <= run(photographs)[1]
    assert resnets.check(photographs).failed
