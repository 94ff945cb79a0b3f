"""Parts of a network that do not learn at a step; see `training.fine_tuning` for which and when."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.models.resnet import backbone_of
from resnets.training.fine_tuning import FineTuning


class FrozenParts:
    """Freezes the parts of `network` that do not learn.

    Those that never learn are frozen at once, so that an optimiser that is made afterwards has no state for them.
    """

    def __init__(self, settings: FineTuning, network: nn.Module) -> None:
        self._settings = settings
        self._network = network
        self._frozen = settings.freeze
        if settings.freeze:
            backbone_of(network).freeze(settings.freeze)

    def set(self, share: float) -> bool:
        """Freezes what does not learn once `share` of the schedule is done; returns whether that is another number of
        parts than before."""
        if not self._settings.unfreeze:
            return False
        backbone = backbone_of(self._network)
        frozen = self._settings.frozen(share, backbone.spec)
        if frozen == self._frozen:
            return False
        backbone.freeze(frozen)
        self._frozen = frozen
        return True

    def train(self) -> None:
        """Puts the network into training mode; what is frozen computes as in evaluation."""
        self._network.train()
        if self._settings.freeze_statistics:
            for norm in batch_norms(self._network):
                norm.eval()

    def updated_norms(self) -> list[_BatchNorm]:
        """The batch norms whose running statistics change in a step."""
        mode = self._network.training
        self.train()
        found = [norm for norm in batch_norms(self._network) if norm.training]
        self._network.train(mode)
        return found


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]
