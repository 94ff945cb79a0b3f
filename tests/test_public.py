"""The public names: their annotations, signatures, docstrings and what a notebook shows of them."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import resnets
from resnets.artifacts.model import Model
from resnets.core import display
from resnets.core.lazy import LazyModule
from resnets.core.signatures import checked_arguments, type_hints
from resnets.experiments.reproduce import Reproduction
from resnets.training.diagnosis import Diagnosis
from tests.command_line import TINY, write_photos

ALIASES = {"Event", "Subscriber"}  # of types
FUNCTIONS = [name for name in resnets.__all__ if inspect.isfunction(getattr(resnets, name))]
CLASSES = [name for name in resnets.__all__ if inspect.isclass(getattr(resnets, name)) and name not in ALIASES]


def own_functions(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods and properties that the class defines itself."""
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(function) and (not name.startswith("_") or name == "__init__"):
            yield name, function


def test_the_names_are_functions_classes_and_data() -> None:
    assert set(resnets.__all__) == {*FUNCTIONS, *CLASSES, *ALIASES, "CATALOG", "__version__"}
    assert len(FUNCTIONS) > 10
    assert len(CLASSES) > 10
    assert dir(resnets) == resnets.__all__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_annotations_of_functions_are_read_at_run_time(name: str) -> None:
    function = getattr(resnets, name)
    hints = typing.get_type_hints(function)
    assert hints.keys() == {*inspect.signature(function).parameters, "return"}
    assert not [hint for hint in hints.values() if isinstance(hint, str | typing.ForwardRef)]


@pytest.mark.parametrize("name", CLASSES)
def test_annotations_of_classes_are_read_at_run_time(name: str) -> None:
    cls = getattr(resnets, name)
    typing.get_type_hints(cls)
    for _, function in own_functions(cls):
        typing.get_type_hints(function)


def test_the_types_at_run_time_are_the_public_ones() -> None:
    assert typing.get_type_hints(resnets.evaluate)["return"] is resnets.Scores
    assert typing.get_type_hints(resnets.evaluate)["model"] == str | os.PathLike[str] | resnets.Model
    assert typing.get_type_hints(resnets.train)["return"] is resnets.Run
    assert typing.get_type_hints(resnets.train)["subscribers"] == tuple[resnets.Subscriber, ...]
    assert typing.get_type_hints(resnets.replay)["return"] is Diagnosis
    assert typing.get_type_hints(resnets.reproduce)["return"] is Reproduction
    assert typing.get_type_hints(resnets.load)["return"] is resnets.Model


def test_annotations_import_nothing_until_they_are_read() -> None:
    check = "import sys, resnets; resnets.evaluate, resnets.predict, resnets.replay; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


if TYPE_CHECKING:
    import fractions
else:
    fractions = LazyModule("fractions")


def half(value: fractions.Fraction) -> fractions.Fraction:
    return value / 2


def test_a_lazy_module_gives_the_names_of_the_module() -> None:
    import fractions as real

    assert typing.get_type_hints(half)["value"] is real.Fraction
    assert type_hints(half, unloaded=object) == {"value": object, "return": object}
    assert checked_arguments(half)(real.Fraction(1, 2)) == real.Fraction(1, 4)
    assert "fractions" in repr(fractions)
    with pytest.raises(AttributeError):
        fractions.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_and_help_are_those_of_the_function(name: str) -> None:
    function = getattr(resnets, name)
    parameters = inspect.signature(function).parameters
    assert not {"args", "kwargs"} & parameters.keys()
    assert function.__name__ == name
    assert function.__module__.startswith("resnets.")
    text = inspect.getdoc(function) or ""
    assert re.match(r"[A-Z`].*\.\n", text + "\n"), "the first line is a sentence"
    if parameters:
        named = re.findall(r"^    ([\w, ]+): ", text.partition("Args:\n")[2].partition("\n\n")[0], re.MULTILINE)
        documented = {each.strip() for line in named for each in line.split(",")}
        assert documented == parameters.keys()
        assert "Raises:" in text
    if inspect.signature(function).return_annotation != "None":
        assert "Returns:" in text or not parameters


@pytest.mark.parametrize("name", CLASSES)
def test_classes_and_what_they_define_have_docstrings(name: str) -> None:
    cls = getattr(resnets, name)
    assert inspect.getdoc(cls)
    own = [each for each, function in own_functions(cls) if each != "__init__" and not function.__doc__]
    assert not own


@dataclass
class Everything:
    run: resnets.Run
    scores: resnets.Scores
    model: resnets.Model
    photos: Path


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Everything:
    root = tmp_path_factory.mktemp("a & b")
    photos = write_photos(root / "<b>photos", {"train": 4, "val": 2, "test": 2})
    run = resnets.train("paper/cifar", *TINY, data=str(photos), epochs=1, out=root / "run", seed=1, device="cpu")
    return Everything(run, resnets.evaluate(run, device="cpu"), resnets.load(run), photos)


def test_a_run_is_taken_wherever_a_model_or_a_run_is(things: Everything, tmp_path: Path) -> None:
    run, image = things.run, things.photos / "val" / "red" / "0.jpg"
    assert os.fspath(run) == str(run.folder)
    assert Path(run) == run.folder
    again = resnets.resume(run)
    assert (again.was_finished, again.folder) == (True, run.folder)
    assert resnets.replay(run, step=1).step == 1
    assert resnets.describe(run).classes == ("blue", "green", "red")
    assert resnets.predict(run, image) == resnets.predict(str(run.folder), str(image)) == [things.model.predict(image)]
    network = resnets.create(things.model.spec, weights=run)
    assert resnets.load(resnets.save(network, tmp_path / "m.safetensors", like=run)).classes == things.model.classes
    both = resnets.evaluate(run, run.folder, things.model, device="cpu")
    assert both.accuracy == things.scores.accuracy
    rates = resnets.benchmark(run, batch=2, size=16, steps=1, workers=0, device="cpu")
    assert rates["size"] == 16


def test_scores_have_metrics_by_name_and_records_of_each_sample(things: Everything) -> None:
    scores = things.scores
    assert (scores.split, scores.task, scores.data) == ("test", "classification", str(things.photos))
    assert scores.accuracy == scores.metrics["accuracy"]
    records = scores.records
    assert records.keys() - {"uncalibrated_confidence"} == {"label", "predicted", "confidence", "rank", "loss"}
    assert {len(each) for each in records.values()} == {len(scores.ids)} == {6}
    assert scores.accuracy == np.mean(records["label"] == records["predicted"])
    assert scores.summary() == scores.metrics | {"excluded": 0, "split": "test", "damaged": {}}
    assert {"accuracy", "ece", "summary", "records"} <= set(dir(scores))
    with pytest.raises(AttributeError, match=r"did you mean accuracy"):
        scores.acuracy  # noqa: B018
    assert not hasattr(scores, "__array__")
    for copied in (copy.deepcopy(scores), pickle.loads(pickle.dumps(scores))):
        assert copied.metrics == scores.metrics


def test_texts_are_short(things: Everything) -> None:
    assert repr(things.run) == (
        f"Run({str(things.run.folder)!r}, val accuracy {things.run.metrics['accuracy']:.2%} of 6 images)"
    )
    of_data = f"of 6 samples of {things.photos}"
    assert repr(things.scores) == f"Scores(test accuracy {things.scores.accuracy:.2%} {of_data})"
    assert repr(things.model) == (
        "Model(classification of 3 classes: blue, green, red; basic blocks 1-1, 4,987 parameters; cpu; "
        f"{things.run.model})"
    )
    assert "optimizer" not in repr(things.model.card)
    assert repr(resnets.describe("resnet18")) == (
        "Description('resnet18', 11,689,512 parameters, 1,814,073,344 multiply-adds at 224 px)"
    )
    images = tuple(f"{number}.jpg" for number in range(128))
    wrong = Diagnosis(3, 2.5, 1.25, "layer1.0.conv1", "forward", images, 1)
    assert repr(wrong) == (
        "Diagnosis(step 3, loss 2.5, gradient norm 1.25, not finite in the forward pass of layer1.0.conv1; images "
        "0.jpg, 1.jpg, 2.jpg and 125 more)"
    )
    table = [["network", "error"], ["resnet", "1.2"]]
    assert repr(Reproduction(Path("f"), table, {"much": [0] * 999})) == "Reproduction('f', a table of 1 row)"


class Page(HTMLParser):
    """The tags, the addresses and the text of HTML, which has to be well formed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


TAGS = {"div", "strong", "table", "tbody", "tr", "th", "td", "a", "details", "summary"}


def html_of(thing: Any) -> Page:
    page = Page(thing._repr_html_())
    assert page.tags <= TAGS
    return page


def test_a_notebook_shows_models_runs_scores_and_reports(things: Everything, tmp_path: Path) -> None:
    run = html_of(things.run)
    assert f"{things.run.metrics['accuracy']:.2%}" in run.text
    assert [Path(link.removeprefix("file://")).name for link in run.links] == [
        "report.html", "model.safetensors", "log.jsonl",
    ]  # fmt: skip
    assert "test of" in run.text
    scores = html_of(things.scores)
    assert {"accuracy", "ece", "3 classes", "green", "precision"} <= set(scores.text.split("\n"))
    model = html_of(things.model)
    assert "paper/cifar on" in model.text
    assert "basic blocks 1-1, 4,987 parameters" in model.text
    described = html_of(resnets.describe("resnet18"))
    assert "layer4.1.conv2" in described.text
    page = html_of(Reproduction(tmp_path, [["network", "error"], ["<i>net</i>", "1.2"]], {}))
    assert "<i>net</i>" in page.text  # escaped: a text, no tag


def test_names_are_escaped(things: Everything) -> None:
    assert "<b>photos" in html_of(things.scores).text
    classes = ("<script>", "a & b", "\x1b[31m")
    model = Model(things.model.network, replace(things.model.card, classes=classes))
    shown = html_of(model)
    assert all(text in shown.text for text in ("<script>", "a & b", "\\x1b[31m"))
    damaged = replace(things.scores, damaged={"<img>.jpg": "it is no image"}, data="x<y")
    assert "<img>.jpg" in html_of(damaged).text


def test_long_tables_are_cut_and_links_lead_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "and 80 more" in Page(display.table(["n"], [[number] for number in range(100)], "many")).text
    (tmp_path / "a b").mkdir()
    file = tmp_path / "a b" / "ü.html"
    file.write_text("")
    assert Page(display.facts("t", {}, {"page": file, "none": tmp_path / "none"})).links == [file.as_uri()]
    monkeypatch.chdir(tmp_path)  # below the working folder a notebook's server has the file
    assert Page(display.facts("t", {}, {"page": file})).links == ["a%20b/%C3%BC.html"]


def test_scores_of_an_unknown_task_and_without_classes_are_shown() -> None:
    scores = resnets.Scores(np.arange(2), {}, {"loss": 0.5, "samples": 2, "absent": None}, {})
    assert repr(scores) == "Scores(test 2 samples)"
    assert {"loss", "0.5"} <= set(html_of(scores).text.split("\n"))
