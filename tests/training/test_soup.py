"""The average of the best weights: chosen as in algorithm 1 of its paper, and the same after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

import resnets
from resnets.artifacts import model_file
from resnets.core.errors import FileError, UsageError
from resnets.evaluation.scoring import Scores
from resnets.models.initialize import create
from resnets.tasks.classification.settings import Classify
from resnets.training.distributed import Ranks
from resnets.training.progress_lines import soup_line
from resnets.training.soup import Ingredients
from tests.training.cut import cut_after
from tests.training.runs import arguments, events, run_resnets, sha_of
from tests.training.test_best import metrics_of
from tests.training.test_distributed import assert_close
from tests.training.test_loop import RECIPE

ACCURACY, LOSS = Classify.metrics[0], Classify.metrics[2]


def trained(data: Path, out: Path, *more: str, **options: Any) -> resnets.Run:
    settings = [a for a in arguments(data, out, "soup=3", *more) if "=" in a]
    options = {"checkpoint_steps": 5, "keep": 3, "epochs": 3, **options}
    return resnets.train("paper/cifar", *settings, data=str(data), out=out, **options)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "soup"
    trained(data, out)
    return out


def card(accuracy: float, loss: float = 1.0) -> model_file.ModelCard:
    return model_file.ModelCard(
        spec=RECIPE.model,
        classes=tuple("abcdefghij"),
        preprocessing=RECIPE.preprocessing,
        metrics={"accuracy": accuracy, "loss": loss},
    )


@pytest.fixture
def ingredients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ingredients:
    saved: dict[Path, tuple[dict[str, Tensor], model_file.ModelCard]] = {}

    def save(path: Path, state: dict[str, Tensor], card: model_file.ModelCard) -> None:
        path.touch()
        saved[path] = state, card

    monkeypatch.setattr(model_file, "save", save)
    monkeypatch.setattr(model_file, "load", lambda path: saved[path])
    return Ingredients(tmp_path / "soup", 3, ACCURACY)


def test_an_ingredient_is_kept_where_val_does_not_fall(ingredients: Ingredients) -> None:
    for step, (value, accuracy) in enumerate([(1.0, 0.1), (2.0, 0.7), (4.0, 0.9), (8.0, 0.8), (9.0, float("nan"))]):
        ingredients.add(step, {"w": torch.full((2,), value), "count": torch.tensor(step)}, card(accuracy))
    seen: list[float] = []

    def evaluate(weights: dict[str, Tensor]) -> Scores:
        """Best at a mean of 3: of 4 and 8, it is worse, and of 4 and 2 equal."""
        mean = float(weights["w"][0])
        seen.append(mean)
        return cast("Scores", SimpleNamespace(metrics={"accuracy": -abs(mean - 3.5), "loss": 0.0}))

    soup = ingredients.cook(evaluate, Ranks())
    assert soup is not None
    assert seen == [4.0, 6.0, 3.0]
    assert soup.event == {"event": "soup", "tried": 3, "kept": [2, 1], "metric": "accuracy", "value": -0.5}
    assert torch.equal(soup.weights["w"], torch.full((2,), 3.0))
    assert int(soup.weights["count"]) == 1


def test_a_metric_that_is_to_be_low_is_compared_so_and_ties_go_to_the_later(tmp_path: Path) -> None:
    found = Ingredients(tmp_path / "soup", 2, LOSS)
    state = create(RECIPE.model, seed=0).state_dict()
    for step, loss in ((3, 0.4), (6, 0.9), (9, 0.4), (12, 0.5)):
        found.add(step, state, card(0.5, loss))
    again = Ingredients(tmp_path / "soup", 2, LOSS)
    assert [path.name for path in again.best_first()] == ["step-000000009.safetensors", "step-000000003.safetensors"]
    again.remove(6)
    assert [path.name for path in again.best_first()] == ["step-000000003.safetensors"]
    again.best_first()[0].write_bytes(b"no")
    with pytest.raises(FileError, match="the soup is made without it"):
        Ingredients(tmp_path / "soup", 2, LOSS).best_first()


def test_a_run_ends_with_its_soup_which_is_at_least_as_good_as_its_best_evaluation(whole: Path) -> None:
    (soup,) = [event for event in events(whole) if event["event"] == "soup"]
    evaluations = {e["step"]: e for e in events(whole) if e["event"] == "evaluation"}
    assert soup["tried"] == 3
    assert soup_line(soup).startswith("The model is ")
    assert soup_line(soup | {"kept": [20, 10, 30]}).endswith("after steps 10, 20 and 30, of 3 tried.")
    assert "that of step 20: no average" in soup_line(soup | {"kept": [20]})
    assert 1 <= len(soup["kept"]) <= 3
    assert set(soup["kept"]) <= evaluations.keys()
    best = max(each["accuracy"] for each in evaluations.values())
    assert soup["value"] >= best
    assert metrics_of(whole / "model.safetensors")[0] == soup["value"]
    assert metrics_of(whole / "last.safetensors")[0] == evaluations[max(evaluations)]["accuracy"]
    assert not (whole / "soup").exists()
    scores = resnets.evaluate(whole)
    assert scores.accuracy == pytest.approx(soup["value"])


def test_a_run_that_is_cut_has_the_same_soup(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    cut_after(data, out, 20, "soup=3", epochs=3)
    kept = sorted((out / "soup").iterdir())
    assert len(kept) >= 2
    later = out / "soup" / "step-000000029.safetensors"
    later.write_bytes(kept[0].read_bytes())
    resnets.resume(out)
    assert not later.exists()
    for name in ("model", "last"):
        assert sha_of(tmp_path / "r" / f"{name}.safetensors") == sha_of(whole / f"{name}.safetensors")
    resnets.resume(tmp_path / "r", epochs="+0.5")  # goes on from the last weights, and ends with a soup again
    assert [event["event"] for event in events(tmp_path / "r")].count("soup") == 2


@pytest.mark.slow
def test_two_ranks_have_the_soup_of_one(data: Path, tmp_path: Path) -> None:
    settings = ("precision=fp32", "optimizer.lr=0.01", "soup=2")
    for ranks in (1, 2):
        code, out, err = run_resnets(arguments(data, tmp_path / str(ranks), *settings, epochs=1.5), ranks=ranks)
        assert code == 0, err
        assert (out + err).count("The model is ") == 1
    assert_close(tmp_path / "2", tmp_path / "1")


def test_without_val_and_out_of_range_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"soup chooses weights on val.*--val-share 0\.2"):
        resnets.train("digits", "steps=1", "soup=2", out=tmp_path / "r", device="cpu")
    assert not (tmp_path / "r" / "recipe.json").exists()
    with pytest.raises(UsageError, match="from 0 to 100"):
        replace(RECIPE, soup=-1)


def test_a_better_model_from_before_an_extension_stays(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    trained(data, out, "soup=2", epochs=2, monitor="accuracy")
    weights, card = model_file.load(out / "best.safetensors")
    model_file.save(out / "best.safetensors", weights, replace(card, metrics={**card.metrics, "accuracy": 2.0}))
    resnets.resume(out, epochs="+1")
    model, best = (
        model_file.weights_sha256(model_file.load(out / f"{each}.safetensors")[0]) for each in ("model", "best")
    )
    assert model == best
    assert len([event for event in events(out) if event["event"] == "soup"]) == 1  # of the run before
