"""`evaluate --corruptions`, on digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnets
from resnets.cli import main
from resnets.core.errors import UsageError
from resnets.modalities.image.corruptions import CORRUPTIONS, corrupted
from tests.command_line import TINY, write_photos

SHORT = ("model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "batch=64")


def test_corrupted_images_are_evaluated_and_shown(tmp_path: Path, capsys: Any) -> None:
    run = resnets.train("digits", *SHORT, epochs=6, device="cpu", seed=0, out=tmp_path / "run")
    out = tmp_path / "out"
    arguments = ["evaluate", str(run.folder), "--device", "cpu", "--tta", "center", "--corruptions", "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    found = answer["corruptions"]
    assert found.keys() == {"mean", *CORRUPTIONS}
    assert found["mean"] == pytest.approx(np.mean([each["mean"] for name, each in found.items() if name != "mean"]))
    assert answer["accuracy"] == run.metrics["accuracy"] > found["mean"]
    assert "Robustness" in (out / "report.html").read_text()

    model, name = resnets.load(run), "gaussian_noise"
    from resnets.modalities.catalog import open_dataset

    dataset: Any = open_dataset("digits").splits["test"]
    images = [np.asarray(dataset.image(index, "L")) for index in range(len(dataset))]
    noisy = [corrupted(image[None], name, 4, index)[0] for index, image in enumerate(images)]
    answers = [ranking[0][0] for ranking in model.predict_many(noisy, 1, tta="center")]
    labels = [dataset.classes[int(label)] for label in dataset.targets["labels"]]
    accuracy = np.mean([one == other for one, other in zip(answers, labels, strict=True)])
    assert found[name]["severities"][3] == pytest.approx(accuracy, abs=0.006)

    assert main(arguments) == 0
    assert "gaussian_noise" in capsys.readouterr().out
    with pytest.raises(UsageError, match="Corruptions are of one model"):
        resnets.evaluate(run, run, corruptions=True, device="cpu")


def test_corrupted_images_are_evaluated_for_numbers_and_several_labels_too(tmp_path: Path, capsys: Any) -> None:
    write_photos(tmp_path / "photos", {"train": 6, "val": 2})
    files = sorted((tmp_path / "photos").glob("*/*/*.jpg"))
    for name, cell in (("target", lambda path: str(len(path.parent.name))), ("labels", lambda path: path.parent.name)):
        rows = [f"{each.relative_to(tmp_path)},{cell(each)},{each.parts[-3]}" for each in files]
        (tmp_path / f"{name}.csv").write_text("\n".join([f"path,{name},split", *rows]) + "\n")
        run = resnets.train(
            "paper/cifar", *TINY, data=str(tmp_path / f"{name}.csv"), epochs=1, device="cpu", out=tmp_path / name
        )
        out = tmp_path / f"{name} out"
        assert main(["evaluate", str(run.folder), "--device", "cpu", "--corruptions", "--out", str(out)]) == 0
        shown = capsys.readouterr().out
        assert all(corruption in shown for corruption in CORRUPTIONS)
        assert "samples" in shown
        assert "Robustness" in (out / "report.html").read_text()
