"""`resnets experiments`."""

from __future__ import annotations

from resnets.commands.command import Answer, Command, Invocation


def list_experiments() -> dict[str, str]:
    """List the experiments that `resnets reproduce` knows by name."""
    from resnets.experiments.catalog import EXPERIMENTS

    return {name: experiment.title for name, experiment in EXPERIMENTS.items()}


def _answer(invocation: Invocation) -> Answer:
    titles: dict[str, str] = invocation.call()
    return Answer([f"{name:20} {title}" for name, title in titles.items()], {"experiments": titles})


COMMAND = Command(list_experiments, _answer)
