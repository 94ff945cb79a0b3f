"""Arrays and Datasets of torch as data, through the functions that a program calls."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import ImageFolder

import resnets
from resnets.artifacts import model_file
from resnets.cli import main
from resnets.core.errors import DataError, UsageError
from resnets.modalities.catalog import open_dataset
from resnets.modalities.in_memory import PREFIX, in_memory
from tests.command_line import TINY, write_photos
from tests.training.runs import sha_of

Arrays = tuple[NDArray[Any], NDArray[Any]]


def made(count: int = 24, seed: int = 0) -> Arrays:
    """Bright images of class 1 and dark ones of class 0."""
    g = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = g.integers(0, 120, (count, 18, 20, 3)) + 130 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


def train(data: Any, out: Path, *more: str, **flags: Any) -> resnets.Run:
    return resnets.train("paper/cifar", *TINY, *more, data=data, out=out, device="cpu", quiet=True, **flags)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> resnets.Run:
    return train(made(), tmp_path_factory.mktemp("runs") / "r", epochs=2)


@pytest.mark.parametrize("kind", ["tensor", "float", "list of Pillow's images", "Dataset", "lists"])
def test_the_same_images_in_any_form_give_the_same_weights(kind: str, run: resnets.Run, tmp_path: Path) -> None:
    images, labels = made()
    pillow = [Image.fromarray(image) for image in images]
    forms: dict[str, Any] = {
        "tensor": (torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)),
        "float": (images.astype(np.float32) / 255, labels.tolist()),
        "list of Pillow's images": (pillow, labels),
        "Dataset": torch.utils.data.TensorDataset(
            torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)
        ),
        "lists": list(zip(pillow, labels.tolist(), strict=True)),
    }
    again = train(forms[kind], tmp_path / "r", epochs=2)
    assert sha_of(again.folder) == sha_of(run.folder)
    assert again.metrics["data"] == run.metrics["data"]


def test_the_plan_says_that_the_data_was_in_memory(run: resnets.Run) -> None:
    plan = json.loads((run.folder / "recipe.json").read_text())
    with in_memory(made()) as name:
        assert plan["recipe"]["data"] == name
        assert name.startswith(PREFIX)
        assert len(open_dataset(name).train) == 24
    assert plan["data_path"] is None
    assert model_file.load(run.model)[1].classes == ("0", "1")
    start = json.loads((run.folder / "log.jsonl").read_text().splitlines()[0])
    assert "(in memory): images, 2 classes" in start["data"]


def test_a_resume_needs_the_same_data(run: resnets.Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"was in the memory of the program.*resume\(RUN, data"):
        resnets.resume(run, epochs="+1")
    assert main(["evaluate", str(run.folder)]) == 1
    assert "was in the memory of the program" in capsys.readouterr().err
    images, labels = made()
    images[3, 4, 5] ^= 1
    with pytest.raises(DataError, match=r"not the data that .* began with"):
        resnets.resume(run, data=(images, labels), epochs="+1")
    assert resnets.resume(run, data=made(), quiet=True).was_finished
    held_out = resnets.evaluate(run, data=made(), split="val")
    assert held_out.metrics["samples"] == run.metrics["samples"]


def test_a_run_that_was_cut_off_ends_as_the_uninterrupted_one(run: resnets.Run, tmp_path: Path) -> None:
    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(made(), tmp_path / "r", epochs=2, checkpoint_steps=1, subscribers=(stop,))
    resnets.resume(tmp_path / "r", data=made(), quiet=True)
    assert sha_of(tmp_path / "r") == sha_of(run.folder)


def test_splits_and_the_names_of_classes(tmp_path: Path) -> None:
    images, labels = made()
    names = np.array(["dark", "light"])[labels]
    data = {"train": (images, names), "valid": (images[:6], names[:6]), "test": (images[:4], list(names[:4]))}
    found = train(data, tmp_path / "r", epochs=1)
    assert (found.metrics["split"], found.metrics["samples"], found.metrics["test"]["samples"]) == ("val", 6, 4)
    assert set(found.metrics["classes"]) == {"dark", "light"}
    assert not (tmp_path / "r" / "split.jsonl.gz").exists()


def test_a_dataset_of_torchvision_keeps_its_classes(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", {"": 6})
    with in_memory(ImageFolder(str(root))) as name:
        splits = open_dataset(name)
        assert splits.train.classes == ("blue", "green", "red")
        assert splits.train.targets["labels"].tolist() == [0] * 6 + [1] * 6 + [2] * 6
        assert splits.color == "RGB"
    grey = made()[0][..., 0]
    with in_memory((grey, made()[1] + 3)) as name:
        assert open_dataset(name).color == "L"
        assert open_dataset(name).train.classes == ("3", "4")


class Changing:
    """A Dataset that augments by itself."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        return np.random.default_rng().integers(0, 256, (8, 8, 3), dtype=np.uint8), index % 2


class Broken:
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        raise OSError("the disk is gone")


def stream() -> Iterator[int]:
    yield 1


IMAGES, LABELS = made(6)


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (Changing(), DataError, "another one each time"),
        (Broken(), DataError, "all image 0|image 0 cannot be read: OSError: the disk is gone"),
        ((IMAGES, LABELS[:5]), UsageError, "6 images and 5 labels"),
        ((IMAGES[0], LABELS), UsageError, "18 images and 6 labels"),
        ((IMAGES, LABELS / 2), DataError, "labels are whole numbers or names"),
        ((IMAGES, np.eye(6)), UsageError, "one for each image"),
        ((IMAGES.astype(np.float32), LABELS), DataError, "floats are from 0 to 1"),
        ({"val": (IMAGES, LABELS)}, UsageError, "no split train"),
        ({"train": (IMAGES, LABELS), "val": (IMAGES, LABELS + 1)}, DataError, "val has labels that train has not: 2"),
        ({"training": (IMAGES, LABELS)}, UsageError, "train, val and test"),
        (stream(), UsageError, "a map-style Dataset"),
        (5, UsageError, "a map-style Dataset"),
        (([], []), DataError, "holds no images"),
    ],
)
def test_what_is_no_data_is_refused(data: Any, error: type[Exception], reason: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=reason):
        train(data, tmp_path / "r", epochs=1)
    assert not (tmp_path / "r").exists()


def test_a_sweep_goes_on_and_a_step_is_replayed_where_the_data_is_given_again(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    whole = train(made(), out, "steps=2", "epochs=none", "normalize=channels", sweep=("seed=0,1",), val_share=0.3)
    shutil.rmtree(out / "run-2")
    with pytest.raises(DataError, match="is not the data that"):
        resnets.resume(out, data=made(seed=1))
    again = resnets.resume(out, data=made())
    assert again.metrics["rows"] == whole.metrics["rows"]
    with pytest.raises(DataError, match=r"resume\(RUN, data=...\), and so evaluate and replay"):
        resnets.replay(out / "run-1", step=1)
    with pytest.raises(DataError, match="is not the data that"):
        resnets.replay(out / "run-1", step=1, data=made(seed=1))
    with pytest.raises(UsageError, match="data is for data in memory"):
        resnets.replay(out / "run-1", step=1, data="photos")
    assert resnets.replay(out / "run-1", step=2, data=made()).step == 2
