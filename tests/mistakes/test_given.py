"""What is given as data, model or weights and is something else is answered with what to give."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

import resnets
from resnets.core.errors import DataError, UsageError
from resnets.core.urls import local_path
from tests.command_line import call
from tests.mistakes.training import train


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


def test_a_mask_of_missing_data_is_still_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no dataset or folder"):
        resnets.train(data=tmp_path / "gone")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="is one image"):
        resnets.train(data=tmp_path / "a.png")
