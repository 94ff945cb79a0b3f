"""A model in a line of text, and as what a notebook shows."""

from __future__ import annotations

from pathlib import Path

from resnets.artifacts.model_file import ModelCard, description
from resnets.core.console import printable
from resnets.core.display import facts, names, table
from resnets.evaluation.display import headline


def line(card: ModelCard, device: object, file: Path | None) -> str:
    """Such as "Model(classification of 10 classes: 0, 1 and 8 more; basic blocks 3-3-3, 272,474 parameters; cpu)"."""
    found = description(card)
    where = "" if file is None else f"; {printable(str(file))}"
    return f"Model({found['task']} of {found['classes']}; {found['network']}; {device}{where})"


def page(card: ModelCard, device: object, file: Path | None) -> str:
    """HTML with what a model is, where it is, and what it was trained on."""
    rows = dict[str, object](description(card))
    title = f"Model: {rows.pop('task')}"
    rows["device"] = device
    if isinstance(card.recipe.get("name"), str):
        rows["recipe"] = f"{card.recipe['name']} on {card.recipe.get('data')}"
    if card.metrics:
        rows["result"] = headline(card.task, card.metrics, card.preprocessing.noun)
    listed = [[number, name] for number, name in enumerate(card.classes)]
    more = table(["number", "class"], listed, "classes") if names(card.classes) != ", ".join(card.classes) else ""
    return facts(title, rows, {"model file": file} if file is not None else {}, more)
