"""The networks of the experiments: from the catalogue, and variants of them in depth, shortcuts and batch norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from resnets.models.catalog import find
from resnets.models.spec import Spec
from resnets.recipes import paper


@dataclass(frozen=True)
class Net:
    """A network of an experiment.

    Args:
        name: in tables, plots and folders.
        paper: the paper's figures for it, by the key of a column.
        settings: of the recipe, where this net is trained differently from the rest.
    """

    name: str
    spec: Spec
    paper: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it has no shortcuts."""
        return self.spec.shortcut == "none"

    @property
    def layers(self) -> int:
        """Weighted layers, as the paper counts them: convolutions of the main path and the classifier."""
        return sum(self.spec.depths) * (2 if self.spec.block == "basic" else 3) + 2


def from_catalog(names: Sequence[str], figures: Mapping[str, Mapping[str, str]] | None = None) -> tuple[Net, ...]:
    """Networks of the catalogue. CIFAR nets of 110 layers and more get the warm-up of He et al. 2015, section 4.2.

    Args:
        figures: the paper's, by network.

    Raises:
        UsageError: an unknown name.
    """
    nets = []
    for name in names:
        spec = find(name)
        deep = name.startswith("cifar_resnet") and spec.depths >= (18, 18, 18)
        nets.append(Net(name, spec, (figures or {}).get(name, {}), paper.WARMUP_110 if deep else ()))
    return tuple(nets)


def cifar_net(layers: int, *, shortcut: bool) -> Net:
    """The CIFAR net of He et al. 2015, section 4.2, with `layers` = 6 n + 2 layers, residual or plain."""
    name = f"cifar_{'resnet' if shortcut else 'plain'}{layers}"
    spec = replace(find("cifar_resnet20"), depths=((layers - 2) // 6,) * 3)
    return Net(name, spec if shortcut else replace(spec, shortcut="none"))


def without_norm(net: Net) -> Net:
    """`net` without batch norm."""
    return replace(net, name=f"{net.name}_no_norm", spec=replace(net.spec, norm="none"))
