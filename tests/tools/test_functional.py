"""torch.func: gradients of single samples, ensembles, and directional derivatives."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, jvp, stack_module_state, vmap

from resnets.models.spec import Spec
from tests.tools.small import SPECS, images, trained

EACH = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


@EACH
def test_gradients_of_single_samples_are_those_of_batches_of_one(spec: Spec) -> None:
    network, labels = trained(spec).double(), torch.tensor([0, 3])
    parameters = {name: p.detach() for name, p in network.named_parameters()}

    def loss(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(network, parameters, (image[None],))
        return F.cross_entropy(logits, label[None])

    found = vmap(grad(loss), (None, 0, 0))(parameters, images().double(), labels)
    for number in range(2):
        network.zero_grad()
        F.cross_entropy(network(images().double()[number : number + 1]), labels[number : number + 1]).backward()
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(found[name][number], parameter.grad)


@EACH
def test_an_ensemble_runs_as_one(spec: Spec) -> None:
    networks = [trained(spec, seed=seed).double() for seed in (1, 2, 3)]
    parameters, buffers = stack_module_state(networks)
    skeleton, x = copy.deepcopy(networks[0]).to("meta"), images().double()
    with torch.no_grad():
        found = vmap(lambda p, b: functional_call(skeleton, (p, b), (x,)))(parameters, buffers)
        torch.testing.assert_close(found, torch.stack([network(x) for network in networks]))


@EACH
def test_the_directional_derivative_is_the_difference_quotient(spec: Spec) -> None:
    network, x = trained(spec).double(), images().double()
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    with torch.no_grad():
        found = jvp(network, (x,), (direction,))[1]
        step = 1e-6
        quotient = (network(x + step * direction) - network(x - step * direction)) / (2 * step)
    torch.testing.assert_close(found, quotient, rtol=1e-4, atol=1e-6)
