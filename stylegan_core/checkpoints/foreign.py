"""What the readers of foreign formats hand on: configs and weights under ADA-PyTorch names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_core.checkpoints.assemble import Checkpoint, assemble, fingerprint
from stylegan_core.errors import CheckpointError, ConfigError
from stylegan_core.networks.build import build_network
from stylegan_core.networks.protocol import CheckpointMeta

W_AVG_SAMPLES = 10_000  # z drawn for the mean of W where a file has none


@dataclass(frozen=True)
class Weights:
    """A network as found in a foreign file."""

    config: Any
    state: Mapping[str, Tensor]  # under our names


def finish(
    path: Path, kind: str, generator: Weights, discriminator: Weights | None = None, licence: str = ""
) -> Checkpoint:
    """Build the networks found in `path` and describe them; `kind` is the format's name.

    A mean of W that the file lacks is estimated, noise inputs that it lacks are drawn, both from a fixed seed."""
    random = torch.Generator().manual_seed(0)
    try:
        state = _with_noise(generator, random)
        has_mean = "mapping.w_avg" in state
        if not has_mean:
            state["mapping.w_avg"] = torch.zeros([generator.config.w_dim])
        network: Any = assemble(generator.config, state, f"{path} ({kind} generator)")
        if not has_mean:
            network.mapping.w_avg.copy_(estimate_w_avg(network, random))
        critic = None
        if discriminator is not None:
            critic = assemble(discriminator.config, discriminator.state, f"{path} ({kind} discriminator)")
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    training = {} if has_mean else {"w_avg": f"absent from the file, estimated from {W_AVG_SAMPLES:,} codes"}
    digest = fingerprint(network.state_dict())
    network.meta = CheckpointMeta(path.stem, kind, digest, licence=licence, training=training)
    return Checkpoint(network, critic, generator.config, network.meta, {})


def estimate_w_avg(network: Any, random: torch.Generator) -> Tensor:
    """Return the mean of w [w_dim] over random z, and random classes for a conditional generator."""
    z = torch.randn([W_AVG_SAMPLES, network.z_dim], generator=random)
    c = None
    if network.c_dim:
        labels = torch.randint(network.c_dim, [W_AVG_SAMPLES], generator=random)
        c = torch.nn.functional.one_hot(labels, network.c_dim).float()
    with torch.no_grad():
        mean: Tensor = network.mapping(z, c)[:, 0].mean(dim=0)
    return mean


def _with_noise(weights: Weights, random: torch.Generator) -> dict[str, Tensor]:
    """Return the state with noise inputs drawn where all of them are missing."""
    state = dict(weights.state)
    if any(name.endswith("noise_const") for name in state):
        return state
    with torch.device("meta"):
        expected = build_network(weights.config).state_dict()
    for name, tensor in expected.items():
        if name.endswith("noise_const"):
            state[name] = torch.randn(tensor.shape, generator=random, device="cpu")
    return state
