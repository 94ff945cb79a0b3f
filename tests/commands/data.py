"""Small data for every task, and runs on it."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from PIL import Image

from tests.command_line import call

TINY = ["model.depths=[1,1]", "model.widths=[4,8]", "model.stem_width=4", "precision=fp32"]
TABLE = ["paper/cifar", "preprocessing.resize=16", "preprocessing.crop=16", "batch=8", "steps=none", "warmup=none",
         "evaluate_every=1"]  # fmt: skip
TASKS = ("classification", "multi-label", "regression", "segmentation")


def write_masks(root: Path) -> Path:
    """Red boxes on blue, with masks of them; the top rows are void."""
    g = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3), ("test", 3)):
        for name in (split, f"{split}annot"):
            (root / name).mkdir(parents=True)
        for i in range(count):
            mask, x = np.zeros((44, 60 + i), np.uint8), g.integers(10, 40)
            mask[15:35, x - 10 : x + 10] = 1
            mask[:3] = 255
            pixels = np.where(mask[..., None] == 1, [200, 50, 50], [40, 60, 160]) + g.normal(0, 20, (*mask.shape, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / split / f"{i}.png")
            Image.fromarray(mask).save(root / f"{split}annot" / f"{i}.png")
    return root


def write_sounds(root: Path) -> Path:
    """Half a second of high and of low tones."""
    for split, count in (("train", 8), ("val", 4), ("test", 4)):
        for name, pitch in (("low", 300), ("high", 1500)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                tone = 0.5 * np.sin(2 * np.pi * (pitch + 20 * i) * np.arange(4000) / 8000)
                with wave.open(str(root / split / name / f"{i}.wav"), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(8000)
                    file.writeframes((tone * 32767).astype("<i2").tobytes())
    return root


def write_tables(root: Path) -> tuple[Path, Path]:
    """Images that are red above or dark below, or both, or neither, and a number for each."""
    (root / "images").mkdir(parents=True)
    labels, numbers = ["path,labels,split"], ["path,target,split"]
    for i in range(40):
        red, dark = i % 2, i // 2 % 2
        pixels = np.full((16, 16, 3), 200, np.uint8)
        pixels[..., 1] = 50 * (i % 5)
        pixels[:8] = [250, 0, 0] if red else pixels[:8]
        pixels[8:] = [0, 0, 50] if dark else pixels[8:]
        Image.fromarray(pixels).save(root / "images" / f"{i}.png")
        split = "train" if i < 24 else "val" if i < 32 else "test"
        names = ";".join(name for name, there in (("red", red), ("dark", dark)) if there)
        labels.append(f"images/{i}.png,{names},{split}")
        numbers.append(f"images/{i}.png,{i % 5},{split}")
    (root / "labels.csv").write_text("\n".join(labels) + "\n")
    (root / "numbers.csv").write_text("\n".join(numbers) + "\n")
    return root / "labels.csv", root / "numbers.csv"


def train_all(folder: Path) -> dict[str, Path]:
    """A run of two epochs for each of `TASKS`; that of classification is of sounds."""
    sounds, masks = write_sounds(folder / "sounds"), write_masks(folder / "masks")
    labels, numbers = write_tables(folder / "table")
    of_masks = ["model.depths=[1,1,1,1]", "model.widths=[4,4,8,8]", "preprocessing.crop=[32,32]", "batch=2",
                "preprocessing.resize=40", "evaluate_every=1", "--epochs", 2, "--monitor", "miou"]  # fmt: skip
    settings: dict[str, list[object]] = {
        "classification": ["--data", sounds, "batch=8", "epochs=2", "--monitor", "loss"],
        "multi-label": [*TABLE, "--data", labels, "epochs=2", "--monitor", "map"],
        "regression": [*TABLE, "--data", numbers, "epochs=4", "--monitor", "mae", "task=Regress"],
        "segmentation": ["--data", masks, *of_masks],
    }
    runs = {}
    for task, given in settings.items():
        runs[task] = folder / "runs" / task
        own = [each for each in TINY if not any(str(other).startswith(each.partition("=")[0]) for other in given)]
        result = call("train", *given, *own, "--out", runs[task], "--device", "cpu", "--seed", 0)
        assert result.code == 0, result.err
        (runs[task].parent / f"{task}.txt").write_text(result.out + result.err)
    return runs
