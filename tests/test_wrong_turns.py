"""What people give by mistake is read where it is clear what they mean, else answered with what mends it."""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.core.errors import ArgumentError, DataError, UsageError
from resnets.core.urls import local_path
from tests.command_line import TINY, call, write_photos

TWO = ("blue", "red")
FAST = [*TINY, "epochs=1", "--device", "cpu", "--workers", "1"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("given") / "photos", {"train": 4, "val": 2}, TWO)


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "photos"
    assert call("train", "paper/cifar", "--data", photos, *FAST, "--out", out).code == 0
    return out


def train(data: object, out: Path, *more: object) -> Any:
    return call("train", "paper/cifar", "--data", data, *FAST, "--out", out, *more)


@pytest.mark.parametrize("ending", [".jfif", ".JFIF", ""])
def test_images_under_another_name_are_named_with_a_command_that_renames_them(
    ending: str, tmp_path: Path, run: Path
) -> None:
    data = write_photos(tmp_path / "my photos", {"": 3}, TWO)
    for path in sorted(data.glob("*/*.jpg")):
        path.rename(path.with_suffix(ending))
    found = train(data, tmp_path / "run")
    assert found.code == 1
    assert "my photos holds no images" not in found.out
    called = f"called {ending.lower()}" if ending else "without an ending"
    assert f"files {called}, such as blue/0{ending}, are images by their content" in found.err
    command = found.err.split("rename them: ")[1].splitlines()[0]
    assert command.startswith("find ")
    # What predict is given says what it is by its content.
    assert len(resnets.predict(run, data)) == 6
    subprocess.run(command, shell=True, check=True)
    assert len(list(data.glob("*/*.jpg"))) == 6
    assert train(data, tmp_path / "run").code == 0


def test_images_under_another_name_stay_out_of_a_run_and_a_note_says_so(
    photos: Path, run: Path, tmp_path: Path
) -> None:
    more = shutil.copytree(photos, tmp_path / "photos")
    shutil.copy(more / "train" / "red" / "0.jpg", more / "train" / "red" / "9.jfif")
    again = train(more, tmp_path / "run")
    assert "files called .jfif, such as red/9.jfif, are images by their content" in again.out
    assert resnets.describe(tmp_path / "run").weights_sha256 == resnets.describe(run).weights_sha256


def test_a_table_reads_images_of_any_name(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "train" / "red", tmp_path / "d")
    (tmp_path / "d" / "0.jpg").rename(tmp_path / "d" / "0.jfif")
    rows = [f"d/{number}.{'jfif' if number == 0 else 'jpg'},{number % 2}" for number in range(4)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *rows]))
    assert train(tmp_path / "table.csv", tmp_path / "run").code == 0


def test_kaggles_flat_test_is_left_out_with_how_to_predict_it(photos: Path, tmp_path: Path) -> None:
    data = shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(data / "val" / "red", data / "test")
    found = train(data, tmp_path / "run")
    assert found.code == 0
    said = f"{data / 'test'} has no class folders: its 2 images have no labels, and there is no split test. To predict"
    assert said in found.out
    assert f"resnets predict RUN {data / 'test'}" in found.out
    assert len(call("predict", tmp_path / "run", data / "test", "--json").json["predictions"]) == 2
    (data / "test").rename(data / "inner")
    shutil.move(data / "inner", data / "test" / "unknown")
    assert said in train(data, tmp_path / "again").out
    (data / "test" / "unknown").rename(data / "test" / "green")
    assert "classes that the model was not trained on: green" in train(data, tmp_path / "third").err


@pytest.mark.parametrize("change", [lambda name: unicodedata.normalize("NFD", name), lambda name: f"{name} "])
def test_class_names_in_another_form_are_the_same_class(change: Any, photos: Path, tmp_path: Path) -> None:
    names = {"blue": "blé", "red": "größe"}
    data = shutil.copytree(photos, tmp_path / "photos")
    for split in ("train", "val"):
        for old, new in names.items():
            (data / split / old).rename(data / split / (new if split == "train" else change(new)))
    run = tmp_path / "run"
    assert train(data, run).code == 0
    assert resnets.load(run).classes == ("blé", "größe")
    whole = resnets.evaluate(run)
    alone = resnets.evaluate(run, data=str(data / "val"), split="all")
    assert whole.metrics["accuracy"] == alone.metrics["accuracy"]
    assert alone.notes == ()
    assert set(alone.metrics["classes"]) == {"blé", "größe"}

    shutil.copytree(data / "train" / "blé", data / "val" / "blé")
    found = train(data, tmp_path / "again")
    assert found.code == 1
    assert "has the class " in found.err
    assert "but for blanks or the form of its letters (NFC, NFD). Rename one of them" in found.err


def test_classes_of_training_that_look_the_same_are_noted(photos: Path, tmp_path: Path) -> None:
    data = shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(data / "train" / "red", data / "train" / "red ")
    assert "2 classes that look the same, 'red' and 'red '" in train(data, tmp_path / "run").out


def test_labels_of_a_table_in_another_form_are_the_same(photos: Path, tmp_path: Path) -> None:
    data = shutil.copytree(photos, tmp_path / "photos")
    label = "größe"
    rows = ["path,label,split"]
    for split in ("train", "val"):
        form: Literal["NFC", "NFD"] = "NFC" if split == "train" else "NFD"
        for color, name in (("red", label), ("blue", "blau")):
            rows += [f"{split}/{color}/{n}.jpg,{unicodedata.normalize(form, name)},{split}" for n in range(2)]
    (data / "table.csv").write_text("\n".join(rows), encoding="utf-8")
    assert train(data / "table.csv", tmp_path / "run").code == 0
    assert resnets.load(tmp_path / "run").classes == ("blau", label)


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("lr=0.01", "optimizer.lr=0.01"),
        ("learning_rate=0.01", "optimizer.lr=0.01"),
        ("weight_decay=0", "optimizer.weight_decay=0"),
        ("momentum=0.8", "optimizer.momentum=0.8"),
        ("batch_size=8", "batch=8"),
        ("img_size=64", "preprocessing.resize=64 preprocessing.crop=64"),
    ],
)
def test_a_setting_by_its_last_name_or_its_name_elsewhere(setting: str, meant: str, tmp_path: Path) -> None:
    name, _, value = setting.partition("=")
    found = call("train", "digits", setting, "--out", tmp_path / "run")
    assert (found.code, found.err) == (2, f"resnets: No setting is called {name!r}: did you mean {meant}?\n")
    with pytest.raises(ArgumentError, match=f"train has no argument {name!r}: did you mean the setting {meant!r}"):
        resnets.train("digits", **{name: value})  # type: ignore[arg-type]


def test_other_arguments_that_are_not_there_get_the_nearest() -> None:
    with pytest.raises(ArgumentError, match=r"train has no argument 'batch': give the setting as a text, \"batch=8\""):
        resnets.train("digits", batch=8)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match=r"No argument of evaluate is called 'worker': did you mean workers\?"):
        resnets.evaluate("run", worker=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("https://example.org/photos.zip", "curl -LO https://example.org/photos.zip"),
        ("s3://bucket/photos/", "aws s3 cp --recursive s3://bucket/photos/ photos"),
        ("gs://bucket/photo.jpg", "gcloud storage cp gs://bucket/photo.jpg ."),
        ("https://huggingface.co/microsoft/resnet-50", "hf download microsoft/resnet-50 --local-dir resnet-50"),
        ("hf.co/datasets/a/b", "hf download a/b --repo-type dataset --local-dir b"),
        (
            "https://huggingface.co/a/b/resolve/main/model.safetensors",
            "hf download a/b model.safetensors --local-dir b",
        ),
    ],
)
def test_an_address_is_to_be_downloaded_first(address: str, command: str, run: Path, tmp_path: Path) -> None:
    said = (
        f"{address} is an address, and .* is read from this machine's files: download it first, such as by: {command}"
    )
    for argv in (
        ["train", "--data", address],
        ["train", "--weights", address],
        ["train", "--model", address],
        ["evaluate", run, "--data", address],
        ["evaluate", address],
        ["predict", run, address],
        ["predict", address, "a.jpg"],
    ):
        found = call(*argv)
        assert found.code == 2
        with pytest.raises(UsageError, match=said):
            raise UsageError(found.err)
    with pytest.raises(UsageError, match=r"(hf download|is an address)"):
        resnets.load(Path(address))


def test_an_address_of_a_file_of_this_machine_is_read(run: Path, photos: Path, tmp_path: Path) -> None:
    spaced = shutil.copytree(photos, tmp_path / "my photos")
    assert local_path(spaced.as_uri(), "data") == str(spaced)
    image = spaced / "val" / "red" / "0.jpg"
    assert resnets.predict(run.as_uri(), image.as_uri()) == resnets.predict(run, image)
    assert train(spaced.as_uri(), tmp_path / "run").code == 0
    assert "my photos" in resnets.load(tmp_path / "run").card.recipe["data"]
    for plain in ("C:/photos", "a.jpg", "runs/x", "torchvision:IMAGENET1K_V2", None, 3):
        assert local_path(plain, "data") is plain


def test_a_network_under_images_of_another_size_says_at_which_it_trains(photos: Path, tmp_path: Path) -> None:
    data = ["--data", photos, "epochs=1", "batch=8", "--device", "cpu", "precision=fp32", "evaluate_every=1000"]
    imagenet = ["model.depths=[1,1]", "model.widths=[4,8]"]
    found = call("train", "paper/cifar", "--model", "resnet18", *imagenet, *data, "--out", tmp_path / "a")
    change = "preprocessing.resize=256 preprocessing.crop=224"
    assert (
        f"Note: resnet18 is made for images of 224 px, and trains at 32 px here: {change} changes that.\n" in found.err
    )
    found = call("train", "paper/cifar", "--model", "cifar_resnet20", *data, *imagenet, "--out", tmp_path / "b")
    assert "is made for" not in found.err


def test_what_is_no_data_is_named_with_what_to_give(photos: Path, run: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "my photos.zip", "w") as archive:
        for path in photos.rglob("*.jpg"):
            archive.write(path, path.relative_to(photos))
    (tmp_path / "photos.tar.gz").touch()
    (tmp_path / "t.parquet").touch()
    shutil.copytree(photos, tmp_path / "outer" / "photos")
    image = photos / "train" / "red" / "0.jpg"
    cases = {
        tmp_path
        / "my photos.zip": f"is an archive. Unpack it and give the folder: python -m zipfile -e '{tmp_path}/my",
        tmp_path
        / "photos.tar.gz": f"mkdir {tmp_path / 'photos'} && tar -xf {tmp_path / 'photos.tar.gz'} -C {tmp_path}",
        tmp_path / "t.parquet": "Save it as CSV, in Python: import pandas; pandas.read_parquet(",
        tmp_path / "outer": f"holds nothing but photos, which has train/: give {tmp_path / 'outer' / 'photos'}.",
        image: "is one image, not data to learn from: give a folder of class folders. To predict it: resnets predict M",
        run: f"is the folder of a run, not data. To go on with it: resnets resume {run}",
        run / "model.safetensors": "is a file of a model, not data. To start from its weights: --weights",
        photos / "train" / "red": f"If it is a class itself, give the folder above it: {photos / 'train'}",
    }
    for data, message in cases.items():
        found = train(data, tmp_path / "run")
        assert found.code == 1, data
        assert message in found.err, data
    command = train(tmp_path / "my photos.zip", tmp_path / "run").err.split("folder: ")[1]
    subprocess.run(command, shell=True, check=True)
    assert train(tmp_path / "my photos", tmp_path / "run").code == 0
    assert f"give --data {photos}" not in (found := train(photos / "train", tmp_path / "part")).err
    assert f"{photos / 'train'} is one split of {photos}, which has val too" in found.out
    assert f"resnets train --data {photos}" in call("train", photos).err


def test_a_class_of_classes_is_noted(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "train", tmp_path / "outer" / "photos")
    found = train(tmp_path / "outer", tmp_path / "run")
    assert "has one class only, photos: there is no other class" in found.out
    assert f"If blue, red in it are the classes, give {tmp_path / 'outer' / 'photos'}." in found.out


def test_what_is_no_model_is_named_with_what_to_give(photos: Path, run: Path, tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(1)}, "epoch": 3}, tmp_path / "last.pt")
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07")
    image = photos / "val" / "red" / "0.jpg"
    cases = {
        photos: f"is no run: it has no recipe.json. If it is data, train on it: resnets train --data {photos}",
        tmp_path / "last.pt": f"Load it in Python with resnets.create(NAME, weights='{tmp_path / 'last.pt'}')",
        tmp_path
        / "net.onnx": "is a graph for onnxruntime, which runs it. Give the model file that it was exported from",
        image: f"is an image, not a model. The model comes first: resnets predict MODEL {image}",
        run.parent: f"is no run; runs in it are {run}.",
        run / "checkpoint": f"holds the checkpoints of a run: give its folder, {run}.",
    }
    for model, message in cases.items():
        found = call("predict", model, image)
        assert found.code == 1, model
        assert message in found.err, model
    shutil.copy(run / "model.safetensors", tmp_path / "model.bin")  # a model file is one by its content
    assert resnets.predict(tmp_path / "model.bin", image) == resnets.predict(run, image)
    shutil.copy(run / "model.safetensors", tmp_path / "last.pt")
    assert f"--weights {tmp_path / 'net.onnx'}" in call("train", "--model", tmp_path / "net.onnx").err


def test_devices_are_refused_with_what_there_is(run: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("the machine has CUDA")
    refused: dict[Any, str] = {
        "cuda": "(finds no GPU with a driver|is built without CUDA)",
        "cuda:7": "(finds no GPU with a driver|is built without CUDA)",
        torch.device("cuda"): "(finds no GPU with a driver|is built without CUDA)",
        "gpu": "torch knows no such kind",
        "xpu": "XPU",
    }
    for device, why in refused.items():
        with pytest.raises(UsageError, match=rf"^Device '{device}' cannot be used: .*{why}.*\. Choose auto"):
            resnets.load(run, device)


def test_numbers_and_paths_of_other_libraries_are_taken(photos: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "epochs": np.float32(1), "seed": np.int64(3), "out": np.str_(tmp_path / "run"), "device": torch.device("cpu"),
        "workers": torch.tensor(1), "keep": np.array(1), "tensorboard": np.bool_(False),
    }  # fmt: skip
    run = resnets.train("paper/cifar", *TINY, data=photos, **given)
    recipe = resnets.load(run.folder).card.recipe
    assert (recipe["seed"], recipe["epochs"], recipe["data"]) == (3, 1.0, str(photos))
    image = photos / "val" / "red" / "0.jpg"
    one: Any = np.int8(1)
    assert len(resnets.predict(str(run.folder), image, top=one)[0]) == 1
    fields: dict[str, Any] = {"classes": np.int32(3), "drop_path": np.float16(0.5)}
    assert resnets.create("resnet18", **fields).spec.classes == 3
    spec = resnets.Spec(depths=np.array([1, 1]), widths=(np.int64(4), 8), classes=torch.tensor(3))  # type: ignore[arg-type]
    assert spec == resnets.Spec(depths=(1, 1), widths=(4, 8), classes=3)
    assert {type(each) for each in (*spec.depths, *spec.widths, spec.classes)} == {int}
    mean = resnets.Preprocessing(mean=torch.tensor([0.25, 0.5, 0.5])).mean  # type: ignore[arg-type]
    assert mean == (0.25, 0.5, 0.5)


def test_a_mask_of_missing_data_is_still_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no dataset or folder"):
        resnets.train(data=tmp_path / "gone")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="is one image"):
        resnets.train(data=tmp_path / "a.png")
