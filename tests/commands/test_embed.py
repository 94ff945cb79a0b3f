"""`resnets embed`, `explain` and `similar`, on digits."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
import sklearn.neighbors
from PIL import Image
from pyarrow import parquet

import resnets
from resnets.cli import main
from resnets.commands.training_run import Run
from resnets.core.errors import PredictionError, UsageError

SHORT = ("model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "batch=64")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in folders by class, some of which are tested."""
    root = tmp_path_factory.mktemp("photos")
    digits = sklearn.datasets.load_digits()
    for number in range(400):
        split = "test" if number % 5 == 0 else "train"
        folder = root / split / str(digits.target[number])
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 15.9375).astype(np.uint8)
        Image.fromarray(pixels).resize((24 + number % 3, 20)).save(folder / f"{number:03}.png")
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("embed") / "run"
    return resnets.train("digits", *SHORT, data=photos, size=16, epochs=25, device="cpu", seed=0, out=out)


@pytest.fixture
def damaged(photos: Path, tmp_path: Path) -> Path:
    """Three test images and one that is none."""
    for number, path in enumerate(sorted((photos / "test").rglob("*.png"))[:3]):
        shutil.copy(path, tmp_path / f"{number}.png")
    (tmp_path / "1b.png").write_bytes(b"no image")
    return tmp_path


def test_embeddings_are_those_of_the_model(run: Run, photos: Path, tmp_path: Path) -> None:
    files = sorted((photos / "test").rglob("*.png"))
    found = resnets.embed(run, photos / "test", out=tmp_path / "e.npy")
    assert found.inputs == tuple(map(str, files))
    expected = resnets.load(run).embed(files).numpy()
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy"), expected)
    np.testing.assert_array_equal(np.asarray(found), expected)
    assert (len(found), found.failed) == (len(files), {})


def test_embeddings_of_what_can_be_read_are_written(
    run: Run, damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array, file = damaged / "out" / "e.npy", damaged / "out" / "e.parquet"
    array.parent.mkdir()
    images = [str(path) for path in sorted(damaged.glob("*.png"))]
    assert main(["embed", str(run.folder), *images, "--out", str(array)]) == 1
    shown = capsys.readouterr()
    assert "1b.png" in shown.err
    assert "4 embeddings of 16 features" in shown.out
    rows = np.load(array)
    assert np.isnan(rows).all(1).tolist() == [False, False, True, False]
    assert main(["embed", str(run.folder), *images, "--out", str(file), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["features"], answer["inputs"], len(answer["failed"])) == (16, images, 1)
    table = parquet.read_table(file).to_pydict()
    assert table["input"] == [images[0], images[1], images[3]]
    np.testing.assert_array_equal(np.array(table["embedding"], np.float32), rows[[0, 1, 3]])
    with pytest.raises(PredictionError) as caught:
        resnets.embed(run, damaged)
    np.testing.assert_array_equal(np.asarray(caught.value.predictions), rows)


def test_what_embed_cannot_do_is_refused(run: Run, damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = str(damaged / "0.png")
    assert main(["embed", str(run.folder), image]) == 2
    assert "--out FILE.npy" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"\.npy or a \.parquet"):
        resnets.embed(run, image, out=damaged / "e.csv")
    with pytest.raises(UsageError, match="at least one image"):
        resnets.embed(run)


def test_similar_images_are_the_nearest_by_scikit_learn(run: Run, photos: Path, tmp_path: Path, capsys: Any) -> None:
    asked, known = (sorted((photos / split).rglob("*.png")) for split in ("test", "train"))
    found = resnets.similar(run, photos / "test", top=4, out=tmp_path / "s.json")
    model = resnets.load(run)
    search = sklearn.neighbors.NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute")
    search.fit(model.embed(known).double().numpy())
    distances, numbers = search.kneighbors(model.embed(asked).double().numpy())
    for answer, path, row, near in zip(found, asked, distances, numbers, strict=True):
        assert answer is not None
        assert answer["input"] == str(path)
        likeness = [each["similarity"] for each in answer["nearest"]]
        np.testing.assert_allclose(likeness, 1 - row, atol=1e-6)
        paths = [photos / "train" / each["label"] / Path(each["path"]).name for each in answer["nearest"]]
        assert [each.name for each in paths] == [known[i].name for i in near]
        assert all(each.exists() for each in paths)
    labels = [answer["nearest"][0]["label"] for answer in found if answer is not None]
    same = np.mean([label == path.parent.name for label, path in zip(labels, asked, strict=True)])
    assert same > 0.6
    assert json.loads((tmp_path / "s.json").read_text())["similar"] == found

    arguments = ["similar", str(run.folder), str(asked[0]), "--data", str(photos), "--split", "test", "--top", "2"]
    assert main([*arguments, "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["similar"]
    assert answer["nearest"][0]["similarity"] == pytest.approx(1, abs=1e-6)
    assert Path(answer["nearest"][0]["path"]).name == asked[0].name
    assert main([*arguments, "--out", str(tmp_path / "s.csv")]) == 0
    assert "1.0000" in capsys.readouterr().out
    with open(tmp_path / "s.csv", newline="") as file:
        columns = next(csv.reader(file))
    assert columns == ["input", "path_1", "label_1", "similarity_1", "path_2", "label_2", "similarity_2"]


def test_what_cannot_be_read_is_named_and_the_rest_is_answered(run: Run, damaged: Path, capsys: Any) -> None:
    assert main(["similar", str(run.folder), str(damaged), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    (broken,) = answer["failed"]
    assert len(answer["similar"]) == 3
    assert broken.keys() == {"input", "error"}
    assert Path(broken["input"]).is_relative_to(damaged)
    assert broken["input"] in broken["error"]
    assert main(["explain", str(run.folder), str(damaged), "--out", str(damaged / "out"), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (len(answer["explanations"]), answer["failed"]) == (3, [broken])
    assert len(list((damaged / "out").glob("*.explained.jpg"))) == 3


def test_explanations_are_of_the_whole_image(run: Run, photos: Path, tmp_path: Path) -> None:
    image = sorted((photos / "test").rglob("*.png"))[7]
    (found,) = resnets.explain(run, image, out=tmp_path / "seen")
    assert found is not None
    (explanation,) = resnets.load(run).explain(image)
    width, height = Image.open(image).size
    assert explanation.heat.shape == (height, width)
    assert (explanation.heat.min(), explanation.heat.max()) >= (0, 0.9)
    assert found["target"] == explanation.target == resnets.predict(run, image)[0][0][0]
    with Image.open(tmp_path / "seen" / found["heat"]) as heat:
        np.testing.assert_allclose(np.asarray(heat) / 255, explanation.heat, atol=1 / 255)
    with Image.open(tmp_path / "seen" / found["drawn"]) as drawn:
        assert drawn.width >= 224
    assert (
        json.loads((tmp_path / "seen" / "explanations.json").read_text())["explanations"][0]["target"]
        == found["target"]
    )
    model = resnets.load(run)
    other, first = model.explain(image, target="3")[0].heat, model.explain(image, stage="C1")[0].heat
    assert not np.array_equal(other, explanation.heat)
    assert not np.array_equal(first, explanation.heat)


def test_what_explain_cannot_do_is_refused(run: Run, photos: Path, tmp_path: Path) -> None:
    image = next((photos / "test").rglob("*.png"))
    with pytest.raises(UsageError, match="class of the model"):
        resnets.explain(run, image, out=tmp_path / "seen", target="zero")
    with pytest.raises(UsageError, match="stage of the network"):
        resnets.explain(run, image, out=tmp_path / "seen", stage="C7")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        resnets.explain(run, image, out=tmp_path / "file")
