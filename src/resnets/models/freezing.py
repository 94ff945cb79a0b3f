"""Parts of a network that stay as they are in training: parameters without gradients, norms with fixed statistics."""

from __future__ import annotations

from typing import Self

from torch import nn

from resnets.core.errors import UsageError
from resnets.core.typed import conform

HEAD = ("avgpool", "fc")


class Freezable(nn.Module):
    """A network of a stem and stages, of which the first ones can be frozen.

    Its children are in the order of the forward pass: those before "layer1" are the stem, and what comes after the last
    stage (of pre-activation nets a norm) belongs to that stage. The head, `avgpool` and `fc`, is never frozen.

    Attributes:
        frozen: how many parts are frozen: 0 is none, 1 the stem, 2 the stem and the first stage, and so on.
    """

    frozen: int = 0
    _frozen_names: frozenset[str] = frozenset()

    def freeze(self, stages: int) -> Self:
        """Freezes the stem and the first `stages` - 1 stages, as detectron2's FREEZE_AT does, and nothing else.

        Frozen parameters need no gradient. Frozen modules compute as in evaluation, so that running statistics of batch
        norm stay as they are and nothing is dropped, and `train()` leaves them so. Parameters that were frozen by other
        means, such as the filters of a whitened stem, stay frozen.

        Args:
            stages: from 0, which makes everything learn again, to 1 more than the network has stages.

        Returns:
            The network itself.

        Raises:
            UsageError: there are not so many.
        """
        parts = self._parts()
        stages = conform(int, stages, "stages")
        if not 0 <= stages <= len(parts):
            raise UsageError(
                f"freeze takes a number from 0 (nothing) to {len(parts)} (the stem and every stage), not {stages}."
            )
        parameters = dict(self.named_parameters())
        for name in self._frozen_names & parameters.keys():
            parameters[name].requires_grad_(True)
        modules = {name for part in parts[:stages] for name in part}
        names = {name for name, p in parameters.items() if p.requires_grad and name.partition(".")[0] in modules}
        for name in names:
            parameters[name].requires_grad_(False)
        self.frozen, self._frozen_names = stages, frozenset(names)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of every module; frozen ones stay in evaluation mode."""
        super().train(mode)
        if self.frozen:
            for part in self._parts()[: self.frozen]:
                for child in part.values():
                    child.eval()
        return self

    def _parts(self) -> list[dict[str, nn.Module]]:
        """The children of the stem by name, then those of each stage."""
        parts: list[dict[str, nn.Module]] = [{}]
        for name, child in self.named_children():
            if name in HEAD:
                break
            if name.startswith("layer"):
                parts.append({})
            parts[-1][name] = child
        return parts
