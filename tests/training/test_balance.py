"""Runs on classes of different frequency: what `--balance` does to them, what it records, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import resnets
from resnets.core.errors import DataError, TrainingError, UsageError
from tests.command_line import call
from tests.training.cut import cut_after
from tests.training.runs import arguments, sha_of

FEW = 5  # images of each rare class
SMALL = ("model.depths=[1,1]", "model.widths=[8,16]", "model.stem_width=8", "batch=64", "precision=fp32")


@pytest.fixture(scope="module")
def imbalanced(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The digits 8 and 9, 100 times as many of the first to train on, and as many of both to evaluate on."""
    images, labels = load_digits(return_X_y=True)
    g = np.random.default_rng(0)
    eights, nines = (images[labels == digit].reshape(-1, 8, 8) for digit in (8, 9))
    pixels = {"8": eights, "9": nines}
    repeated = [pixels["8"][g.permutation(100)] for _ in range(FEW)]
    train = np.concatenate([*repeated, pixels["9"][:FEW]])
    val = np.concatenate([pixels["8"][110:160], pixels["9"][110:160]])
    noise = g.normal(0, 1, train.shape)
    data = {
        "train": ((16 * (train + noise)).clip(0, 255).astype(np.uint8), [0] * 100 * FEW + [1] * FEW),
        "val": ((16 * val).clip(0, 255).astype(np.uint8), [0] * 50 + [1] * 50),
    }
    return data, len(train)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_the_flag_raises_macro_recall_at_a_hundred_to_one(
    seed: int, imbalanced: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    data, _ = imbalanced

    def recall(**options: Any) -> float:
        out = tmp_path / str(options.get("balance"))
        try:
            run = resnets.train("digits", *SMALL, data=data, epochs=10, seed=seed, out=out, device="cpu", **options)
        except TrainingError as error:  # without the flag a model may well answer the frequent class alone
            assert not options
            run = error.run
        return float(run.metrics["balanced_accuracy"])

    plain = recall()
    assert recall(balance="sampling") > plain + 0.02
    assert recall(balance="weights") > plain + 0.02


@pytest.mark.parametrize("balance", ["sampling", pytest.param("weights", marks=pytest.mark.slow)])
def test_resumed_a_balanced_run_ends_with_the_same_bits(balance: str, data: Path, tmp_path: Path) -> None:
    thinned = Path(shutil.copytree(data, tmp_path / "data"))
    for path in sorted((thinned / "train" / "class1").iterdir())[7:]:
        path.unlink()
    assert call(*arguments(thinned, tmp_path / "whole", "--balance", balance, epochs=2)).code == 0
    cut_after(thinned, tmp_path / "cut", 8, epochs=2, balance=balance)
    resnets.resume(tmp_path / "cut")
    assert sha_of(tmp_path / "cut") == sha_of(tmp_path / "whole")
    assert call(*arguments(thinned, tmp_path / "plain", epochs=2)).code == 0
    assert sha_of(tmp_path / "plain") != sha_of(tmp_path / "whole")


def test_weights_of_a_file_are_recorded_and_not_read_again(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "weights.csv"
    file.write_text("class2,4\nclass0,1\nclass1,0.5\n")
    cut_after(data, tmp_path / "cut", 8, epochs=2, balance=file)
    file.unlink()
    recorded = json.loads((tmp_path / "cut" / "recipe.json").read_text())["recipe"]["balance"]
    assert recorded == {"classes": ["class2", "class0", "class1"], "weights": [4, 1, 0.5]}
    resnets.resume(tmp_path / "cut")
    given = {"class0": 1, "class1": 0.5, "class2": 4}
    settings = [each for each in arguments(data, tmp_path) if "=" in each]
    run = resnets.train("paper/cifar", *settings, data=data, out=tmp_path / "whole", epochs=2, balance=given)
    assert sha_of(tmp_path / "cut") == sha_of(run.folder)


def test_weights_that_do_not_fit_the_data_are_refused_before_a_step(data: Path, tmp_path: Path) -> None:
    settings = [each for each in arguments(data, tmp_path) if "=" in each]
    with pytest.raises(DataError, match="balance has no weight of class1, class2"):
        resnets.train("paper/cifar", *settings, data=data, out=tmp_path / "r", epochs=1, balance={"class0": 1})
    table = tmp_path / "numbers.csv"
    rows = ["path,target,split"]
    for number in range(10):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{number},{'train' if number < 8 else 'test'}")
    table.write_text("\n".join(rows))
    with pytest.raises(UsageError, match="balance weighs classes: it is not for regression"):
        resnets.train("digits", "batch=2", data=table, out=tmp_path / "r", epochs=1, balance="weights")
    assert not (tmp_path / "r").exists()


def test_recipes_without_balance_are_as_before() -> None:
    from resnets.core.config import decode, encode
    from resnets.recipes.catalog import find
    from resnets.training.recipe import Recipe

    recipe = find("digits")
    assert "balance" not in encode(recipe)
    balanced = recipe.with_overrides(["balance=sampling"])
    assert decode(Recipe, encode(balanced)) == balanced != recipe
