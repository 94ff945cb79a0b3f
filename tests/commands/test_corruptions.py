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
