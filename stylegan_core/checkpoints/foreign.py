"""What the readers of foreign formats hand on: configs and weights under ADA-PyTorch names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan_core.checkpoints.assemble import Checkpoint, assemble, fingerprint
from stylegan_core.errors import CheckpointError, ConfigError
from stylegan_core.networks.protocol import CheckpointMeta


@dataclass(frozen=True)
class Weights:
    """A network as found in a foreign file."""

    config: Any
    state: Mapping[str, Tensor]  # under our names


def finish(
    path: Path, kind: str, generator: Weights, discriminator: Weights | None = None, licence: str = ""
) -> Checkpoint:
    """Build the networks found in `path` and describe them; `kind` is the format's name."""
    try:
        network: Any = assemble(generator.config, generator.state, f"{path} ({kind} generator)")
        critic = None
        if discriminator is not None:
            critic = assemble(discriminator.config, discriminator.state, f"{path} ({kind} discriminator)")
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    network.meta = CheckpointMeta(path.stem, kind, fingerprint(network.state_dict()), licence=licence)
    return Checkpoint(network, critic, generator.config, network.meta, {})
