"""What a person types, on real files, and what comes back."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.recipes.catalog import RECIPES
from tests.command_line import COLORS, TINY, call, noisy, train, write_photos


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), {"train": 12, "val": 5})


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(folder, tmp_path_factory.mktemp("runs") / "colors")


def test_training_a_folder_writes_the_whole_run(run: Path) -> None:
    files = ["checkpoint", "log.jsonl", "model.safetensors", "predictions.csv", "recipe.json", "report.html"]
    assert sorted(p.name for p in run.iterdir()) == files
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    assert all({"step", "epoch", "loss", "lr", "images_per_second"} <= e.keys() for e in events if e["event"] == "step")
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["recipe"]["model"]["classes"] == 3
    assert recipe["environment"]["device"]


def test_evaluate_gives_the_figures_that_training_reported(run: Path) -> None:
    trained = [json.loads(x) for x in (run / "log.jsonl").read_text().splitlines()][-2]
    scores = call("evaluate", run, "--json").json
    assert scores["samples"] == 15
    for figure in ("accuracy", "top5", "loss", "samples", "excluded"):
        assert scores[figure] == trained[figure]
    assert scores["accuracy"] > 0.9


def test_evaluate_tells_the_same_whatever_the_workers(run: Path) -> None:
    assert call("evaluate", run, "--json", "--workers", 0).out == call("evaluate", run, "--json", "--workers", 3).out


def test_evaluate_writes_its_report_where_asked(run: Path, tmp_path: Path) -> None:
    result = call("evaluate", run, "--out", tmp_path / "e")
    assert "precision" in result.out
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["samples"] == 15
    assert "</html>" in (tmp_path / "e" / "report.html").read_text()


def image_files(folder: Path) -> dict[str, Path]:
    """One red image in every form that people have."""
    big = noisy(COLORS["red"], 7, (640, 480))
    paths = {name: folder / f"image.{name}" for name in ("png", "jpeg", "webp")}
    for path in paths.values():
        big.save(path)
    paths["palette"] = folder / "palette.png"
    big.quantize(64).save(paths["palette"])
    paths["rotated"] = folder / "rotated.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    big.save(paths["rotated"], exif=exif)
    paths["tiny"] = folder / "tiny.png"
    big.resize((3, 2)).save(paths["tiny"])
    return paths


def test_predict_works_for_every_kind_of_image_with_the_model_file_alone(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "model.safetensors", tmp_path)
    names = [path.name for path in image_files(tmp_path).values()]
    shown = subprocess.run(
        [sys.executable, "-m", "resnets", "predict", "model.safetensors", *names, "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    for answer in json.loads(shown.stdout)["predictions"]:
        best = answer["classes"][0]
        assert best["name"] == "red", answer["image"]
        assert best["probability"] > 0.5


def test_predict_gives_a_16_bit_image_the_answer_of_its_8_bit_copy(run: Path, tmp_path: Path) -> None:
    grey = np.asarray(noisy(COLORS["green"], 3).convert("L"))
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    answer = call("predict", run, tmp_path / "8.png", tmp_path / "16.png", "--json").json["predictions"]
    assert answer[0]["classes"] == answer[1]["classes"]


def test_describe_knows_a_model_file_and_a_name(run: Path) -> None:
    described = call("describe", run, "--json").json
    assert len(described["weights_sha256"]) == 64
    assert described["classes"] == ["blue", "green", "red"]
    assert described["preprocessing"]["crop"] == 16
    assert call("describe", "resnet50", "--json").json["parameters"] == 25_557_032
    assert "layer4.2.conv3" in call("describe", "resnet50").out


def test_models_and_recipes_are_listed() -> None:
    assert {m["name"] for m in call("models", "--json").json["models"]} == set(resnets.CATALOG)
    assert [r["name"] for r in call("recipes", "--json").json["recipes"]] == list(RECIPES)
    assert "resnet50" in call("models").out
    assert "Command: resnets train" in call("recipes").out


def sha_of(folder: Path, out: Path, *more: str) -> str:
    argv = ["train", "paper/cifar", "--data", folder, "--epochs", "2", "--out", out, *TINY, "model.drop_path=0.3",
            "augmentations.crop=RandomResizedCrop", 'augmentations.transforms=[{"kind": "Flip"}]',
            'augmentations.mix=[{"kind": "Mixup"}]',
            *more]  # fmt: skip
    assert call(*argv).code == 0
    sha = resnets.describe(out).weights_sha256
    assert sha
    return sha


def test_workers_change_nothing_and_the_seed_everything(folder: Path, tmp_path: Path) -> None:
    shas = [sha_of(folder, tmp_path / f"w{n}", "--workers", str(n)) for n in (0, 1, 4)]
    assert len(set(shas)) == 1
    assert sha_of(folder, tmp_path / "seed", "--seed", "1") != shas[0]


def test_a_saved_recipe_trains_the_same_model_again(run: Path, tmp_path: Path) -> None:
    assert call("train", run / "recipe.json", "--out", tmp_path / "again").code == 0
    assert resnets.describe(tmp_path / "again").weights_sha256 == resnets.describe(run).weights_sha256


def test_json_prints_one_object_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    result = call("train", "paper/cifar", "--data", folder, "--epochs", 1, "--out", tmp_path / "r", "--json", *TINY)
    assert result.json["samples"] == 15
    assert "parameters" in result.err


def test_a_log_that_is_no_terminal_has_a_bounded_number_of_lines(folder: Path, tmp_path: Path) -> None:
    out = call("train", "paper/cifar", "--data", folder, "--epochs", 60, "--out", tmp_path / "r", *TINY[:-1]).out
    assert 12 <= len(out.splitlines()) <= 20


def test_help_comes_at_once_and_without_torch() -> None:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        shown = subprocess.run([sys.executable, "-X", "importtime", "-m", "resnets", "--help"], capture_output=True,
                               text=True, check=True)  # fmt: skip
        times.append(time.perf_counter() - started)
    assert "predict" in shown.stdout
    assert " torch\n" not in shown.stderr
    assert min(times) < 0.5


def test_the_first_step_waits_for_no_package_that_it_does_not_need(tmp_path: Path) -> None:
    code = (
        "import os, sys, resnets\n"
        "slow = ['torch._dynamo', 'sympy', 'torchvision', 'sklearn', 'matplotlib', 'jinja2']\n"
        "def hear(event):\n"
        "    if event['event'] == 'step':\n"
        "        print('imported:', [name for name in slow if name in sys.modules], flush=True)\n"
        "        os._exit(0)\n"
        f"resnets.train('digits', 'steps=1', out={str(tmp_path / 'run')!r}, subscribers=(hear,))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "imported: []" in ran.stdout


def test_live_progress_is_shown_on_a_terminal(folder: Path, tmp_path: Path) -> None:
    from resnets.training.progress import Live

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    with Live(screen) as live:
        resnets.train("paper/cifar", *TINY, data=str(folder), epochs=1, out=tmp_path / "r", subscribers=(live,))
    assert "images/s" in screen.getvalue()
    assert "val accuracy 100.00%" in " ".join(screen.getvalue().split())
