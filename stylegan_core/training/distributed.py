"""Several processes that train one model: each takes every size-th sample, gradients are averaged (torchrun)."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from stylegan_core.errors import ConfigError


@dataclass(frozen=True)
class World:
    """This process and how many there are."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # where messages live: NCCL knows GPUs only

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over all processes; the result is where `value` was."""
        if self.size == 1:
            return value
        message = value.detach().to(self.device, copy=True)
        distributed.all_reduce(message)
        return (message / self.size).to(value.device)

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is set in any process."""
        return float(self.mean(torch.tensor(float(flag)))) > 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients over all processes, in one message."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.size > 1 and gradients:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            distributed.all_reduce(flat)
            flat /= self.size
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """Join the processes that torchrun started (RANK, WORLD_SIZE); alone without it. Gives the world and the device."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(), device
        return
    rank = int(os.environ["RANK"])
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if device.type == "mps":
        raise ConfigError("several processes need --device cpu or cuda; there is one MPS device")
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=size)
    try:
        yield World(rank, size, device), device
    finally:
        distributed.destroy_process_group()
