"""The scripts behind the claims of speed run to the end, at small size."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import resnets
from tests.artifacts.test_model import photo
from tests.modalities.audio.sounds import tone, write
from tests.training.runs import make_images

SCRIPTS = Path(__file__).parents[1] / "benchmarks"
# What benchmarks/airbench.py needs of airbench94_muon.py, around a net of one layer.
SPEEDRUN = """
import sys, torch
from math import ceil
import torch.nn.functional as F
with open(sys.argv[0]) as f:
    code = f.read()

class CifarLoader:
    def __init__(self, path, train):
        data = torch.load(f"{path}/{'train' if train else 'test'}.pt", map_location=torch.device("cuda"))
        self.images, self.labels = data["images"].half().flatten(1) / 255, data["labels"]
    def __len__(self):
        return 2
    def __iter__(self):
        return iter([(self.images, self.labels)] * 2)

class CifarNet(torch.nn.Linear):
    def __init__(self):
        super().__init__(3072, 10)
    def forward(self, x, whiten_bias_grad=True):
        return super().forward(x)

def evaluate(model, loader, tta_level):
    return (model(loader.images).argmax(1) == loader.labels).float().mean().item()

def main(run, model):
    test_loader, train_loader = CifarLoader("cifar10", train=False), CifarLoader("cifar10", train=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    starter = torch.cuda.Event(enable_timing=True)
    starter.record()
    step, total_train_steps = 0, ceil(8 * len(train_loader))
    while step < total_train_steps:
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            step += 1
        torch.cuda.synchronize()
        val_acc = evaluate(model, test_loader, tta_level=0)
    return evaluate(model, test_loader, tta_level=2)

if __name__ == "__main__":
    main(0, CifarNet())
"""
SMALL = ["--rounds", "1", "--seconds", "0.01"]

pytestmark = pytest.mark.slow


def run(script: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, SCRIPTS / script, *arguments], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr


def with_own_python() -> dict[str, str]:
    """The environment variables with which python3 is the one that runs the tests."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def results(folder: Path) -> list[dict[str, float]]:
    (path,) = folder.glob("*.json")
    found: list[dict[str, float]] = json.loads(path.read_text())["results"]
    return found


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_images(tmp_path / "images")


@pytest.mark.parametrize(
    "script", sorted(path.name for path in SCRIPTS.glob("*.py") if "parse_args" in path.read_text())
)
def test_every_script_starts(script: str) -> None:
    run(script, "--help")


def test_spoken_digits(tmp_path: Path) -> None:
    for number in range(24):
        digit, speaker, take = number % 2, ("ann", "bob")[number // 2 % 2], number // 4 + 1
        write(tmp_path / "sounds" / f"{digit}_{speaker}_{take}.wav", tone(0.4, hertz=300 + 300 * digit, seed=number))
    arguments = [str(tmp_path / "sounds"), "epochs=1", "batch=4", "--seeds", "0", "--out", str(tmp_path / "found.json")]
    run("spoken_digits.py", *arguments, "--splits", "takes")
    run("spoken_digits.py", *arguments)
    found = json.loads((tmp_path / "found.json").read_text())["splits"]
    assert {split: sorted(seeds) for split, seeds in found.items()} == {"takes": ["0"], "ann": ["0"], "bob": ["0"]}
    data = tmp_path / "found" / "data"
    assert len(list((data / "takes" / "test").rglob("*.wav"))) == 16
    assert {path.name.split("_")[1] for path in (data / "ann" / "test").rglob("*.wav")} == {"ann"}


def test_inference(images: Path, tmp_path: Path) -> None:
    model = ["--model", "cifar_resnet20", "--size", "32", "--batches", "2"]
    run("inference.py", str(images), *model, *SMALL, "--out", str(tmp_path))
    assert [found["to_best_peer"] > 0 for found in results(tmp_path)] == [True, True]


def test_training(tmp_path: Path) -> None:
    run("training.py", "--cases", "cifar_resnet20:8", *SMALL, "--out", str(tmp_path))
    assert results(tmp_path)[0]["to_default"] > 0


def test_weight_gradients(tmp_path: Path) -> None:
    run("weight_gradients.py", "--shapes", "8:16:6:3:2", "4:8:5:1:1", "--batch", "2", *SMALL, "--out", str(tmp_path))
    assert [found["to_default"] > 0 for found in results(tmp_path)] == [True, True]


def test_step_profile(tmp_path: Path) -> None:
    run("step_profile.py", "--cases", "cifar_resnet20:8", "--steps", "1", "--out", str(tmp_path))
    (path,) = tmp_path.glob("*-step-profile.json")
    for spent in json.loads(path.read_text())["milliseconds"]["cifar_resnet20:8"].values():
        assert 0 < spent["convolutions"] < spent["all"]


def test_loading(tmp_path: Path) -> None:
    for number in range(24):
        path = tmp_path / "jpegs" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo(300, 240, seed=number).save(path)
    run("loading.py", str(path.parent), "--batch", "4", *SMALL, "--out", str(tmp_path))
    assert [found["to_default"] > 0 for found in results(tmp_path)] == [True, True]


def test_training_within_a_fraction_of_eagers_memory(tmp_path: Path) -> None:
    run("training.py", "--cases", "cifar_resnet110:128", "--memory", "0.9", *SMALL, "--out", str(tmp_path))
    (found,) = results(tmp_path)
    assert len(found["peak_memory_bytes"]) == 5  # type: ignore[arg-type]


def test_checking(tmp_path: Path) -> None:
    for number in range(24):
        path = tmp_path / "jpegs" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo(300, 240, seed=number).save(path)
    run("checking.py", str(path.parent), *SMALL, "--memory", "--out", str(tmp_path))
    (found,) = results(tmp_path)
    assert found["to_default"] > 0


def test_scan(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / "jpegs" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo(200, 180, seed=number).save(path)
    against = ["--against", "HEAD", "--against-count", "400"]
    run("scan.py", str(path.parent), "--count", "600", *against, "--out", str(tmp_path))
    (path,) = tmp_path.glob("*-scan.json")
    found = json.loads(path.read_text())
    assert set(found["found"]) == set(found["against"]["found"]) == {"idle", "begun", "again", "resumed"}
    assert set(found["against"]["share_of_its_core_hours"]) == {"begun", "again", "resumed"}


def test_report_size(tmp_path: Path) -> None:
    small = ["--samples", "90", "--classes", "40", "--epochs", "0.2", "--rounds", "1"]
    run("report_size.py", str(tmp_path / "made"), *small, "--out", str(tmp_path))
    (path,) = tmp_path.glob("*-report-size.json")
    (found,) = json.loads(path.read_text())["rounds"]
    assert found["bytes"] == (tmp_path / "made" / "answers" / "report.html").stat().st_size
    assert 0 < found["peak_memory_bytes"]["alone"] <= found["peak_memory_bytes"]["with_report"]


def test_overhead(images: Path, tmp_path: Path) -> None:
    small = ["batch=24", "bn_batch=24", "model.widths=[8,8,16]", "model.stem_width=8", "initialization.whiten=60"]
    run("overhead.py", str(images), "--rounds", "1", "--steps", "2", "--out", str(tmp_path), *small)
    (path,) = tmp_path.glob("*-overhead.json")
    assert len(json.loads(path.read_text())["seconds"]["bare"]) == 1


def test_crops(tmp_path: Path) -> None:
    for number in range(24):
        path = tmp_path / "data" / ("val" if number % 3 else "train") / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(60, 50, seed=number).save(path)
    small = ["model.depths=[1]", "model.widths=[8]", "model.stem_width=8", "batch=4"]
    out = resnets.train("paper/cifar", *small, data=str(tmp_path / "data"), epochs=1, out=tmp_path / "run")
    run("crops.py", str(out.folder), "--split", "test", "--crops", "100", "--out", str(tmp_path))
    (path,) = tmp_path.glob("*-crops.json")
    found = json.loads(path.read_text())
    assert found["crops"] == 128
    assert found["answers_that_differ"] < 20


def test_cifar10(images: Path, tmp_path: Path) -> None:
    (tmp_path / "airbench94_muon.py").write_text(SPEEDRUN)
    (images / "val").rename(images / "test")
    arguments = [str(images), str(tmp_path), "--minutes", "0.01", *SMALL, "--out", str(tmp_path / "found.json")]
    run("cifar10.py", *arguments, "--seeds")
    speeds = json.loads((tmp_path / "found.json").read_text())["speeds"]
    run("cifar10.py", *arguments, "--seeds", "0")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["speeds"] == speeds
    assert sorted(found["runs"]) == ["airbench94_muon 0", "fast/cifar10 0", "paper/cifar 0"]
    assert all(0 <= each["error"] <= 100 for each in found["runs"].values())


def test_against(tmp_path: Path) -> None:
    small = ["--model", "cifar_resnet20", "--size", "32", "--cases", "cifar_resnet20:8", "--seconds", "0.01"]
    run("against.py", "HEAD", *small, "--rounds", "2", "--only", "training", "overhead", "--out", str(tmp_path))
    (path,) = tmp_path.glob("*-against.json")
    found = json.loads(path.read_text())
    names = {"C3 cifar_resnet20:8", "loop fast/cifar10", "loop digits"}
    assert found["ratios"].keys() == found["ratios_to_itself"].keys() == names
    assert not found["errors"]
    for half, other in (("itself", "again"), ("present", "present")):
        for rates in found[f"rounds_{half}"].values():
            assert [len(rates[tree]) for tree in ("commit", other)] == [2, 2]
    limit = min(0.97, *found["ratios_to_itself"].values())
    assert found["flagged"] == [name for name, ratio in found["ratios"].items() if ratio < limit]


def test_gpu_dry_run_succeeds_on_the_cpu(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "scripts" / "gpu"
    command = [str(script), "--out", str(tmp_path / "out"), "--dry-run", "--only", "check trains_on", "G1", "G2", "G4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, cwd=tmp_path, env=with_own_python())
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert found["dry_run"]
    assert found["versions"]["torch"] == importlib.metadata.version("torch")
    assert {name: part["status"] for name, part in found["parts"].items()} == {
        "check trains_on_files": "ok", "G1, G3 resnet50": "ok", "G2": "ok", "G4": "ok",
    }  # fmt: skip
    assert found["parts"]["G1, G3 resnet50"]["results"][0]["to_default"] > 0
    assert len(found["parts"]["G2"]["results"]) == 2
    assert 0 <= found["parts"]["G4"]["ours"]["error"] <= 100


def test_a_part_of_gpu_that_fails_or_hangs_loses_only_its_own_result(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path[:0] = [{str(SCRIPTS)!r}]
from pathlib import Path
import gpu
results = gpu.Results(Path({str(tmp_path)!r}))
gpu.HERE = Path({str(tmp_path)!r})
for name, text in {{
    "dies": "import os; print('RESULT {{\\"kept\\": 1}}', flush=True); os.abort()",
    "hangs": "import subprocess; print('RESULT {{\\"kept\\": 2}}', flush=True); subprocess.run(['sleep', '1000'])",
    "ends": "print('RESULT {{\\"kept\\": 3}}')",
}}.items():
    (gpu.HERE / f"{{name}}.py").write_text(text)
    gpu.run(gpu.Part(name, 5, (f"{{name}}.py",)), 5, results)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert [parts[name]["kept"] for name in ("dies", "hangs", "ends")] == [1, 2, 3]
    assert parts["dies"]["status"] == "failed with code -6"
    assert parts["hangs"]["status"] == "no end within 5 s"
    assert parts["ends"]["status"] == "ok"
