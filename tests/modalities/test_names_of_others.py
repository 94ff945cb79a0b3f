"""`torchvision:NAME` and `hf:OWNER/NAME`, on small copies that are laid out as their libraries have them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torchvision

from resnets.core.errors import DataError, UsageError
from resnets.modalities.base import DatasetSplits
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.datasets import torchvision_names
from tests.command_line import COLORS, TINY, call, noisy, write_photos
from tests.training.runs import sha_of

TRAIN = ["train", "paper/cifar", "--epochs", 1, "--device", "cpu", *TINY]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and no network: nobody listens on the discard port."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    for variable, value in (
        ("http_proxy", "http://127.0.0.1:9"),
        ("https_proxy", "http://127.0.0.1:9"),
        ("no_proxy", ""),
    ):
        monkeypatch.setenv(variable, value)
    return tmp_path / "cache" / "torchvision"


def write_dtd(root: Path) -> Path:
    """Textures as torchvision's DTD lays them out: 8 images of each colour to train on, 3 each for val and test."""
    data = root / "dtd" / "dtd"
    (data / "labels").mkdir(parents=True)
    for split, numbers in {"train": range(8), "val": range(8, 11), "test": range(11, 14)}.items():
        lines = []
        for color, level in COLORS.items():
            (data / "images" / color).mkdir(parents=True, exist_ok=True)
            for number in numbers:
                noisy(level, number).save(data / "images" / color / f"{number}.jpg", quality=95)
                lines.append(f"{color}/{number}.jpg\n")
        (data / "labels" / f"{split}1.txt").write_text("".join(lines))
    return root


def test_a_dataset_of_torchvision_trains_and_has_its_splits_and_classes(cache: Path, tmp_path: Path) -> None:
    write_dtd(cache)
    answer = call(*TRAIN, "--data", "torchvision:DTD", "--out", tmp_path / "r", "--json").json
    assert (answer["split"], answer["samples"], answer["test"]["samples"]) == ("val", 9, 9)
    assert set(answer["classes"]) == set(COLORS)
    assert (answer["data"], (tmp_path / "r" / "split.jsonl.gz").exists()) == ("torchvision:DTD", False)
    assert call("evaluate", tmp_path / "r", "--json").json["samples"] == 9
    assert call("resume", tmp_path / "r", "--epochs", "+1").code == 0
    folds = call(*TRAIN, "--data", "torchvision:DTD", "--out", tmp_path / "folds", "--fold", "all/2", "--json").json
    assert (folds["samples"], [each["fold"] for each in folds["folds"]]) == (42, ["1/2", "2/2"])


def test_the_same_images_from_torchvision_and_from_a_folder_give_the_same_weights(cache: Path, tmp_path: Path) -> None:
    write_photos(cache / "eurosat" / "2750", {"": 8})
    share = ["--fold", "1/2"]  # the same numbers of images; those held out are others, as their names are
    splits = open_dataset("torchvision:EuroSAT")
    folder = open_dataset(str(cache / "eurosat" / "2750"))
    assert list(splits.splits) == ["all"]
    assert splits.train.classes == folder.train.classes
    assert splits.train.targets["labels"].tolist() == folder.train.targets["labels"].tolist()
    for index in range(len(folder.train)):
        ours, theirs = (np.asarray(each.train.image(index, "RGB")) for each in (splits, folder))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(ours, theirs)
    assert call(*TRAIN, "--data", "torchvision:EuroSAT", "--out", tmp_path / "a", *share).code == 0
    assert call(*TRAIN, "--data", "torchvision:EuroSAT", "--out", tmp_path / "b", *share, "--workers", 3).code == 0
    assert sha_of(tmp_path / "a") == sha_of(tmp_path / "b")


def test_without_the_network_the_message_says_where_to_put_a_copy(cache: Path, tmp_path: Path) -> None:
    for name in ("DTD", "ImageNet"):
        with pytest.raises(DataError, match=f"torchvision's {name} is not in {cache}.*Put a copy there"):
            open_dataset(f"torchvision:{name}")
    result = call(*TRAIN, "--data", "torchvision:DTD", "--out", tmp_path / "r")
    assert (result.code, result.out) == (1, "")
    assert "Put a copy there" in result.err


def test_names_that_torchvision_has_not_are_refused(cache: Path) -> None:
    with pytest.raises(UsageError, match=r"No dataset of torchvision is called 'Flowers': did you mean Flowers102"):
        open_dataset("torchvision:Flowers")
    with pytest.raises(UsageError, match="has no format"):
        open_dataset("torchvision:DTD", "folders")


def test_every_name_is_a_class_of_torchvision() -> None:
    assert [name for name in torchvision_names.NAMES if not hasattr(torchvision.datasets, name)] == []


class ClassLabel:
    def __init__(self, names: list[str]) -> None:
        self.names = names


class Image_:  # noqa: N801 - stands for datasets.Image
    pass


Image_.__name__ = "Image"


class FakeSplit:
    """As `datasets.Dataset` has it: rows by number, columns by name."""

    def __init__(self, count: int, start: int) -> None:
        self.features = {"id": SimpleNamespace(), "image": Image_(), "label": ClassLabel(list(COLORS))}
        self._labels = [number % 3 for number in range(count)]
        self._images = [noisy(list(COLORS.values())[label], start + n) for n, label in enumerate(self._labels)]

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, key: int | str) -> Any:
        if key == "label":
            return self._labels
        assert isinstance(key, int)
        return {"id": key, "image": self._images[key], "label": self._labels[key]}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A library `datasets` that has one dataset in its cache; the calls that it got."""
    calls: list[Any] = []

    def load_dataset(name: str, download_config: Any = None) -> dict[str, Any]:
        calls.append((name, download_config is not None))
        if name != "owner/colors":
            raise FileNotFoundError(f"{name} is nowhere")
        return {"train": FakeSplit(24, 0), "validation": FakeSplit(6, 100), "unlabeled": FakeSplit(2, 200)}

    fake = SimpleNamespace(load_dataset=load_dataset, DownloadConfig=lambda local_files_only: local_files_only)
    monkeypatch.setitem(sys.modules, "datasets", fake)  # type: ignore[arg-type]
    return calls


def test_a_dataset_of_the_hub_is_read_from_its_cache_first(hub: list[Any], tmp_path: Path) -> None:
    answer = call(*TRAIN, "--data", "hf:owner/colors", "--out", tmp_path / "r", "--json")
    assert (answer.json["split"], answer.json["samples"], set(answer.json["classes"])) == ("val", 6, set(COLORS))
    assert set(hub) == {("owner/colors", True)}
    assert "the splits unlabeled were left out" in "".join(open_dataset("hf:owner/colors").notes)
    image = np.asarray(open_dataset("hf:owner/colors").train.image(4, "RGB"))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(image, np.asarray(FakeSplit(24, 0)[4]["image"]))
    with pytest.raises(DataError, match=r"hf:owner/other is neither in the cache.*is nowhere.*hf download owner/other"):
        open_dataset("hf:owner/other")
    with pytest.raises(UsageError, match="no name of the Hub"):
        open_dataset("hf:../x")


@pytest.mark.parametrize("label", [[0, 2], 0.731, None, " "])
def test_labels_that_name_no_class_are_refused(label: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = FakeSplit(6, 0)
    rows.features = {"image": Image_(), "label": SimpleNamespace()}
    rows._labels = [0, 1, label, 0, 1, 0]
    library: Any = SimpleNamespace(load_dataset=lambda *given, **more: {"train": rows}, DownloadConfig=dict)
    monkeypatch.setitem(sys.modules, "datasets", library)
    with pytest.raises(DataError, match=r"hf:owner/colors \(train\): sample 2 has the label .*whole numbers or names"):
        open_dataset("hf:owner/colors")


def test_what_the_library_itself_reads_is_what_a_folder_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.chdir(tmp_path)  # where a folder of that name is what the library finds for it
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_photos(tmp_path / "owner" / "photos", {"train": 8, "test": 3})
    hub, folder = open_dataset("hf:owner/photos"), open_dataset("owner/photos")
    assert set(hub.splits) == set(folder.splits) == {"train", "test"}
    assert hub.train.classes == folder.train.classes
    assert sorted(hub.train.targets["labels"]) == sorted(folder.train.targets["labels"])

    def pixels(splits: DatasetSplits) -> set[tuple[int, bytes]]:
        images, labels = splits.train, splits.train.targets["labels"]
        return {(int(labels[i]), np.asarray(images.image(i, "RGB")).tobytes()) for i in range(len(images))}  # type: ignore[attr-defined]

    assert pixels(hub) == pixels(folder)
    assert len(pixels(hub)) == 8 * len(COLORS)


def test_without_the_library_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # type: ignore[arg-type]
    result = call(*TRAIN, "--data", "hf:owner/colors", "--out", tmp_path / "r")
    assert result.code == 2
    assert "Reading hf:owner/colors needs datasets, which is not installed:" in result.err
    assert "hub" in result.err
