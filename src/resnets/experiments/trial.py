"""One net of an experiment, trained with one seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import torch

from resnets.artifacts.model import Model, load
from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_fields
from resnets.experiments.nets import Net
from resnets.modalities.batch import Batch
from resnets.models.initialize import allocate, create
from resnets.models.resnet import ResNet
from resnets.training import build, checkpoint, prepare, runner
from resnets.training.environment import threads
from resnets.training.events import Event
from resnets.training.plan import CheckpointPolicy, read_plan
from resnets.training.prepare import PreparedData
from resnets.training.recipe import Recipe
from resnets.training.run_folder import RunFolder
from resnets.training.run_log import read_log
from resnets.training.whitening import whiten_stem

# Settings of a recipe that do not change the final weights, and bn_batch, which is set when a run begins.
_SAME_WEIGHTS = ("name", "bn_batch", "memory_limit", "cuda_graph", "score_training", "evaluate_every")


@renamed_fields
@dataclass(frozen=True)
class Trial:
    """A training run of an experiment: trains the net, and gives its weights at each stage of training.

    Args:
        recipe: complete, for this net and seed.
        path: the run's folder.
        workers: threads that decode images; None for one for each usable core.
        snapshots: how many checkpoints, evenly over the run, are kept.
    """

    net: Net
    recipe: Recipe
    path: Path
    device: str = "auto"
    workers: int | None = None
    snapshots: int = 0

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path)

    def run(self, subscriber: Callable[[Event], None]) -> None:
        """Trains to the end; resumes a run that was interrupted.

        Raises:
            TrainingError: the gradient is not finite; see `resnets replay`.
            UsageError: `path` holds another run.
        """
        if self.folder.recipe.exists():
            self._check()
            runner.resume(self.folder, subscribers=(subscriber,))
            return
        checkpoints = CheckpointPolicy()
        if self.snapshots:
            steps = self.recipe.total_steps(len(self.data.train))
            checkpoints = CheckpointPolicy(steps=max(1, steps // self.snapshots), keep=self.snapshots + 1)
        runner.train(
            self.recipe,
            self.folder,
            device=self.device,
            workers=self.workers,
            checkpoints=checkpoints,
            subscribers=(subscriber,),
        )

    @property
    def events(self) -> list[Event]:
        return read_log(self.folder.log)

    @property
    def seconds(self) -> float:
        """Duration of training, over all its starts."""
        return next((float(event["seconds"]) for event in self.events if event["event"] == "end"), 0.0)

    def _check(self) -> None:
        """Raises UsageError if the run was started with a recipe that leads to other weights."""
        own, found = self.resolved[0], read_plan(self.folder.recipe).recipe
        aside = {name: getattr(own, name) for name in _SAME_WEIGHTS}
        changed = [f.name for f in fields(own) if getattr(own, f.name) != getattr(replace(found, **aside), f.name)]
        if changed:
            raise UsageError(
                f"{self.path} was trained with other settings ({', '.join(changed)} differ): give another --runs."
            )

    @cached_property
    def resolved(self) -> tuple[Recipe, PreparedData]:
        """The recipe with what the data decides filled in, and the data."""
        rule = read_plan(self.folder.recipe).split_rule if self.folder.recipe.exists() else "hash"
        return prepare.resolve(self.recipe, rule)

    @property
    def data(self) -> PreparedData:
        return self.resolved[1]

    @cached_property
    def model(self) -> Model:
        """The model with the final weights, which are those that were evaluated."""
        return load(self.path)

    @property
    def network(self) -> ResNet:
        network = self.model.network
        assert isinstance(network, ResNet)  # as no other runtime was asked for
        return network

    def initial_network(self) -> ResNet:
        """The net before its first step."""
        recipe, data = self.resolved
        network = create(recipe.model, seed=recipe.seed, how=recipe.initialization)
        batches = build.batches_for(recipe, data, device=torch.device("cpu"))
        begun = self.folder.recipe.exists()  # sums of several threads are rounded otherwise
        with threads(read_plan(self.folder.recipe).environment.threads if begun else torch.get_num_threads()):
            whiten_stem(network, recipe, batches, recipe.bn_batch or recipe.batch)
        return network

    def network_at(self, step: int) -> ResNet:
        """The net after `step` steps, one of `snapshot_steps`."""
        tensors = checkpoint.read(self.folder.checkpoints, step).tensors
        network = allocate(self.resolved[0].model)
        network.load_state_dict(
            {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
        )
        return network

    def snapshot_steps(self) -> list[int]:
        """Steps after which a checkpoint was kept, in ascending order."""
        return sorted(checkpoint.steps(self.folder.checkpoints))

    def first_batch(self) -> Batch:
        """The run's first training batch."""
        recipe, data = self.resolved
        return build.batches_for(recipe, data, device=torch.device("cpu")).make(0)
