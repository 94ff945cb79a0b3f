"""What a person types, on real files, and what comes back."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.cli import main
from resnets.recipes.catalog import RECIPES

COLORS = {"blue": (40, 60, 200), "green": (40, 190, 60), "red": (210, 40, 50)}
TINY = ["model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "precision=fp32", "preprocessing.resize=16",
        "preprocessing.crop=16", "batch=8", "evaluate_every=1000"]  # fmt: skip


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)  # type: ignore[no-any-return]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*argv: object) -> Result:
        capsys.readouterr()
        code = main([str(a) for a in argv])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def noisy(color: tuple[int, int, int], number: int, size: tuple[int, int] = (24, 20)) -> Image.Image:
    g = np.random.default_rng([number, *color])
    pixels = np.clip(np.array(color) + g.normal(0, 40, (size[1], size[0], 3)), 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 12), ("val", 5)):
        for name, color in COLORS.items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                noisy(color, i + 100 * (split == "val")).save(root / split / name / f"{i}.jpg", quality=95)
    return root


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "colors"
    assert main(["train", "paper/cifar", "--data", str(folder), "--epochs", "12", "--out", str(out), *TINY]) == 0
    return out


def test_training_a_folder_writes_the_whole_run(run: Path) -> None:
    files = ["checkpoint", "log.jsonl", "model.safetensors", "recipe.json", "report.html"]
    assert sorted(p.name for p in run.iterdir()) == files
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    assert all({"step", "epoch", "loss", "lr", "images_per_second"} <= e.keys() for e in events if e["event"] == "step")
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["recipe"]["model"]["classes"] == 3
    assert recipe["environment"]["device"]


def test_evaluate_gives_the_figures_that_training_reported(run: Path, cli: Any) -> None:
    trained = [json.loads(x) for x in (run / "log.jsonl").read_text().splitlines()][-2]
    scores = cli("evaluate", run, "--json").json
    assert scores["samples"] == 15
    for figure in ("accuracy", "top5", "loss", "samples", "excluded"):
        assert scores[figure] == trained[figure]
    assert scores["accuracy"] > 0.9


def test_evaluate_tells_the_same_whatever_the_workers(run: Path, cli: Any) -> None:
    assert cli("evaluate", run, "--json", "--workers", 0).out == cli("evaluate", run, "--json", "--workers", 3).out


def test_evaluate_writes_its_report_where_asked(run: Path, cli: Any, tmp_path: Path) -> None:
    result = cli("evaluate", run, "--out", tmp_path / "e")
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


def test_predict_gives_a_16_bit_image_the_answer_of_its_8_bit_copy(run: Path, tmp_path: Path, cli: Any) -> None:
    grey = np.asarray(noisy(COLORS["green"], 3).convert("L"))
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    answer = cli("predict", run, tmp_path / "8.png", tmp_path / "16.png", "--json").json["predictions"]
    assert answer[0]["classes"] == answer[1]["classes"]


def test_describe_knows_a_model_file_and_a_name(run: Path, cli: Any) -> None:
    described = cli("describe", run, "--json").json
    assert len(described["weights_sha256"]) == 64
    assert described["classes"] == ["blue", "green", "red"]
    assert described["preprocessing"]["crop"] == 16
    assert cli("describe", "resnet50", "--json").json["parameters"] == 25_557_032
    assert "layer4.2.conv3" in cli("describe", "resnet50").out


def test_models_and_recipes_are_listed(cli: Any) -> None:
    assert {m["name"] for m in cli("models", "--json").json["models"]} == set(resnets.CATALOG)
    assert [r["name"] for r in cli("recipes", "--json").json["recipes"]] == list(RECIPES)
    assert "resnet50" in cli("models").out
    assert "Command: resnets train" in cli("recipes").out


def sha_of(folder: Path, out: Path, *more: str) -> str:
    argv = ["train", "paper/cifar", "--data", folder, "--epochs", "2", "--out", out, *TINY, "model.drop_path=0.3",
            "augmentations.crop=RandomResizedCrop", 'augmentations.transforms=[{"kind": "Flip"}]',
            'augmentations.mix=[{"kind": "Mixup"}]',
            *more]  # fmt: skip
    assert main([str(a) for a in argv]) == 0
    sha = resnets.describe(out).weights_sha256
    assert sha
    return sha


def test_workers_change_nothing_and_the_seed_everything(folder: Path, tmp_path: Path) -> None:
    shas = [sha_of(folder, tmp_path / f"w{n}", "--workers", str(n)) for n in (0, 1, 4)]
    assert len(set(shas)) == 1
    assert sha_of(folder, tmp_path / "seed", "--seed", "1") != shas[0]


def test_a_saved_recipe_trains_the_same_model_again(run: Path, tmp_path: Path, cli: Any) -> None:
    assert cli("train", run / "recipe.json", "--out", tmp_path / "again").code == 0
    assert resnets.describe(tmp_path / "again").weights_sha256 == resnets.describe(run).weights_sha256


def test_json_prints_one_object_and_nothing_else(folder: Path, tmp_path: Path, cli: Any) -> None:
    result = cli("train", "paper/cifar", "--data", folder, "--epochs", 1, "--out", tmp_path / "r", "--json", *TINY)
    assert result.json["samples"] == 15
    assert "parameters" in result.err


def test_a_log_that_is_no_terminal_has_a_bounded_number_of_lines(folder: Path, tmp_path: Path, cli: Any) -> None:
    out = cli("train", "paper/cifar", "--data", folder, "--epochs", 60, "--out", tmp_path / "r", *TINY[:-1]).out
    assert 12 <= len(out.splitlines()) <= 20


def test_tensorboard_gets_the_figures(folder: Path, tmp_path: Path, cli: Any) -> None:
    argv = ("--data", folder, "--epochs", 1, "--out", tmp_path / "r", "--tensorboard", *TINY)
    assert cli("train", "paper/cifar", *argv).code == 0
    assert list((tmp_path / "r" / "tensorboard").glob("events.out.tfevents.*"))


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


def break_folder(folder: Path, to: Path, what: str) -> Path:
    shutil.copytree(folder, to)
    if what == "empty class":
        (to / "train" / "violet").mkdir()
    elif what == "unreadable":
        (to / "train" / "red" / "broken.jpg").write_bytes((to / "train" / "red" / "0.jpg").read_bytes()[:300])
    return to


MISTAKES = [
    (["trian"], 2, "did you mean train"),
    ([], 2, "command is missing"),
    (["train", "digtis"], 2, "did you mean digits"),
    (["train", "--model", "resnet_18"], 2, "did you mean resnet18"),
    (["train", "optimizer.lrr=1"], 2, "did you mean lr"),
    (["train", "--modle", "x"], 2, "did you mean --model"),
    (["train", "--seed", "many"], 2, "invalid int"),
    (["train", "--device", "gpu0"], 2, "Choose auto, cpu, cuda or mps"),
    (["train", "--data", "nowhere"], 1, "There is no dataset or folder 'nowhere'"),
    (["train", "--workers", "-1"], 2, "workers must be"),
    (["train", "nowhere/recipe.json"], 1, "Cannot read nowhere/recipe.json: no such file"),
    (["evaluate", "nowhere.safetensors"], 1, "There is no model file or run folder nowhere.safetensors"),
    (["predict", "nowhere.safetensors", "x.png"], 1, "There is no model file"),
    (["predict", "x"], 2, "at least one image"),
    (["describe", "resnet5000"], 2, "did you mean"),
    (["describe", "resnet50", "--size", "0"], 2, "from 1 to"),
]


@pytest.mark.parametrize(
    ("argv", "code", "message"), MISTAKES, ids=lambda a: " ".join(a) if isinstance(a, list) else ""
)
def test_a_mistake_is_answered_in_a_line_and_leaves_nothing(
    argv: list[str], code: int, message: str, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli(*argv)
    assert result.code == code
    assert message in result.err
    assert len(result.err.strip().splitlines()) <= 2
    assert not result.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("what", "message"), [("empty class", "no images of violet"), ("unreadable", "broken.jpg is damaged")]
)
def test_bad_data_is_named_before_the_first_epoch(
    what: str, message: str, folder: Path, tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = break_folder(folder, tmp_path / "bad", what)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = cli("train", "paper/cifar", "--data", bad, *TINY)
    assert result.code == 1
    assert message in result.err
    assert "Traceback" not in result.err
    assert not list((tmp_path / "here").iterdir())


def test_damaged_training_images_can_be_left_out(folder: Path, tmp_path: Path, cli: Any) -> None:
    bad = break_folder(folder, tmp_path / "bad", "unreadable")
    argv = ["--data", bad, "--epochs", "1", "--out", tmp_path / "r", *TINY]
    result = cli("train", "paper/cifar", "damaged=exclude", *argv)
    assert result.code == 0
    assert "1 training image cannot be read" in result.out


def test_damaged_test_images_are_counted_and_excluded(run: Path, folder: Path, tmp_path: Path, cli: Any) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(folder, bad)
    (bad / "val" / "blue" / "0.jpg").write_bytes(b"no image")
    scores = cli("evaluate", run, "--data", bad, "--json").json
    assert (scores["samples"], scores["excluded"]) == (14, 1)


def test_an_unreadable_image_to_predict_is_named(run: Path, tmp_path: Path, cli: Any) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    result = cli("predict", run, tmp_path / "x.png")
    assert result.code == 1
    assert "x.png" in result.err


def test_readable_images_are_answered_and_the_others_named(run: Path, tmp_path: Path, cli: Any) -> None:
    names = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png", "absent.png")]
    noisy(COLORS["red"], 1).save(names[0])
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    noisy(COLORS["blue"], 1).save(names[2])
    alone = cli("predict", run, names[0], names[2], "--json")
    assert (alone.code, alone.json["failed"]) == (0, [])
    mixed = cli("predict", run, *names, "--json")
    assert mixed.code == 1
    assert mixed.json["predictions"] == alone.json["predictions"]
    assert [p["input"] for p in mixed.json["predictions"]] == [names[0], names[2]]
    assert [f["input"] for f in mixed.json["failed"]] == [names[1], names[3]]
    assert "damaged" in mixed.json["failed"][0]["error"]
    assert {k: mixed.json[k] for k in ("model", "task", "runtime")} == {
        "model": str(run), "task": "classification", "runtime": "torch",
    }  # fmt: skip
    shown = cli("predict", run, *names)
    assert shown.code == 1
    assert [line for line in shown.out.splitlines() if not line.startswith(" ")] == [names[0], names[2]]
    assert "b.png" in shown.err
    assert "absent.png" in shown.err


def test_python_gets_the_answers_and_what_failed(run: Path, tmp_path: Path) -> None:
    images: list[Any] = [noisy(COLORS["red"], n) for n in range(70)]  # over two batches
    images[3] = images[66] = b"no image"
    with pytest.raises(resnets.PredictionError, match="2 of 70 inputs cannot be read") as caught:
        resnets.predict(run, *images, top=1)
    error = pickle.loads(pickle.dumps(caught.value))
    assert list(error.failed) == [3, 66]
    assert [n for n, ranking in enumerate(error.predictions) if ranking is None] == [3, 66]
    readable = [p for p in images if not isinstance(p, bytes)]
    assert [r for r in error.predictions if r is not None] == resnets.load(run).predict_many(readable, 1)
    assert all(e.__traceback__ is None for e in caught.value.failed.values())  # which would hold the decoded pixels
    with pytest.raises(resnets.DataError, match="not an image"):
        resnets.load(run).predict(b"no image")


def test_an_existing_run_is_not_overwritten(run: Path, cli: Any) -> None:
    before = (run / "log.jsonl").read_bytes()
    result = cli("train", "--out", run)
    assert result.code == 2
    assert "already exists" in result.err
    assert (run / "log.jsonl").read_bytes() == before


def test_debug_shows_the_traceback(cli: Any) -> None:
    assert "Traceback" in cli("train", "digtis", "--debug").err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = os.name == "posix" and shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    if not mounted:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=False)


def test_a_full_disk_is_named_and_leaves_nothing_half_written(folder: Path, small_disk: Path, cli: Any) -> None:
    out = small_disk / "r"
    result = cli("train", "paper/cifar", "--data", folder, "--epochs", "1", "--out", out, *TINY, "model.widths=[32,64]")
    assert result.code == 1
    assert "no space left" in result.err
    assert len(result.err.strip().splitlines()) <= 2
    assert not (out / "model.safetensors").exists()
    assert not [p for p in out.iterdir() if p.name.endswith(".part")]


def test_live_progress_is_shown_on_a_terminal(folder: Path, tmp_path: Path) -> None:
    from resnets.training.progress import Live

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    with Live(screen) as live:
        resnets.train("paper/cifar", *TINY, data=str(folder), epochs=1, out=tmp_path / "r", subscribers=(live,))
    assert "images/s" in screen.getvalue()
    assert "val 100.00%" in screen.getvalue()
