"""Two processes: DistributedDataParallel and FSDP2, a stage at a time, have the gradients of one process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from resnets.models.resnet import ResNet
from tests.forked_ranks import free_port
from tests.tools.small import SPECS, images, trained


def gradients(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    found: dict[str, Any] = {name.removeprefix("module."): p.grad for name, p in network.named_parameters()}
    return {name: g.full_tensor() if hasattr(g, "full_tensor") else g for name, g in found.items()}


def sharded(network: ResNet) -> ResNet:
    mesh = init_device_mesh("cpu", (2,))
    for name in network.stage_names:
        fully_shard(network.get_submodule(name), mesh=mesh)
    fully_shard(network, mesh=mesh)
    return network


def rank_main(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    mine = images(4)[2 * rank : 2 * rank + 2]
    for kind, spec in SPECS.items():
        found = {}
        for name, wrap in {"ddp": DistributedDataParallel, "fsdp": sharded}.items():
            network = wrap(trained(spec))  # type: ignore[operator]
            network(mine).square().mean().backward()
            found[name] = gradients(network)
        if rank == 0:
            torch.save(found, Path(folder) / f"{kind}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch has no gloo here")
def test_two_ranks_have_the_gradients_of_one_process(tmp_path: Path) -> None:
    spawn(rank_main, (free_port(), str(tmp_path)), nprocs=2)
    for kind, spec in SPECS.items():
        network = trained(spec)
        network(images(4)).square().mean().backward()
        expected, found = gradients(network), torch.load(tmp_path / f"{kind}.pt")
        for way in ("ddp", "fsdp"):
            assert found[way].keys() == expected.keys()
            for name, gradient in expected.items():
                torch.testing.assert_close(found[way][name], gradient, rtol=1e-4, atol=1e-6)
