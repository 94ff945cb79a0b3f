"""How much of the exchange of gradients is hidden behind the backward pass.

    torchrun --nproc-per-node=2 benchmarks/overlap.py [--model resnet50] [--batch 8] [--rounds 5]

Each round runs three steps in turn: without exchange, with torch's DDP as training uses it, and with one all-reduce
of all gradients after the backward pass. Prints the medians and the share of the exchange that DDP hides.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F

import resnets
from resnets.core.devices import find_device
from resnets.training import environment
from resnets.training.distributed import process_group


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batch", type=int, default=8, help="images a rank")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    with process_group(given.device) as (ranks, name):
        device = find_device(name)
        network = resnets.create(given.model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        wrapped = ranks.wrap(network, device)
        assert isinstance(wrapped, torch.nn.parallel.DistributedDataParallel)
        images = torch.randn(given.batch, 3, 224, 224, device=device).contiguous(memory_format=torch.channels_last)
        labels = torch.arange(given.batch, device=device)

        def compute() -> None:
            network.zero_grad(set_to_none=False)
            with torch.autocast(device.type, torch.bfloat16):
                logits = wrapped(images)
            F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]

        def alone() -> None:
            with wrapped.no_sync():
                compute()

        def after() -> None:
            alone()
            flat = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
            dist.all_reduce(flat)

        variants = {"no exchange": alone, "during the backward pass": compute, "after it": after}
        seconds: dict[str, list[float]] = {way: [] for way in variants}
        for number in range(given.rounds + 1):
            for way, step in variants.items():
                dist.barrier()
                started = time.perf_counter()
                step()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                dist.barrier()
                if number:  # the first warms up
                    seconds[way].append(time.perf_counter() - started)
        if ranks.is_main:
            medians = {way: statistics.median(times) for way, times in seconds.items()}
            none, during, behind = medians.values()
            result = {
                "date": datetime.date.today().isoformat(),
                "hardware": environment.choose(name).hardware,
                "torch": torch.__version__,
                "backend": dist.get_backend(),
                "ranks": ranks.world,
                "model": given.model,
                "batch": given.batch,
                "bytes": 4 * sum(p.numel() for p in network.parameters()),
                "median_seconds": medians,
                "rounds": seconds,
                "hidden": 1 - (during - none) / (behind - none),
            }
            print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
