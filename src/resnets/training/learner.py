"""What a training step runs, and what DDP wraps: the network with its task's loss."""

from __future__ import annotations

from torch import Tensor, nn

from resnets.modalities.batch import Batch
from resnets.tasks.base import Task
from resnets.tasks.forward import computing, lay_out
from resnets.training.teacher import Teacher


class Learner(nn.Module):
    """From a batch to the parts of each sample's loss; `Task.loss` may call any part of the network.

    Args:
        precision: "fp32", or "bf16" for torch's autocast.

    Attributes:
        teacher: from which the network learns besides; None for none. It is no module of the learner.
    """

    teacher: Teacher | None = None

    def __init__(self, network: nn.Module, task: Task, precision: str = "fp32") -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.precision = precision

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        inputs = batch["inputs"]
        batch = batch | {"inputs": lay_out(inputs)}
        with computing(inputs.device, self.precision):
            if self.teacher is not None:
                return self.teacher.loss(self.network, self.task, batch)
            return self.task.loss(self.network, batch)
