"""From tensors and a config to a network that is ready to use, with every mismatch named."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_core.errors import CheckpointError
from stylegan_core.networks.build import GeneratorNetwork, build_network
from stylegan_core.networks.protocol import CheckpointMeta


@dataclass(frozen=True)
class Checkpoint:
    """What a file held."""

    generator: GeneratorNetwork  # in eval mode, without gradients: see networks.protocol.Generator
    discriminator: nn.Module | None
    config: Any  # the generator's
    meta: CheckpointMeta
    extra: Mapping[str, Tensor]  # tensors of a training snapshot that belong to neither (`G.`, optimisers)


def assemble(config: Any, state: Mapping[str, Tensor], what: str) -> nn.Module:
    """Build the network of `config` with the weights `state`, in eval mode and without gradients.

    `what` names the file and its part in errors. Shapes are compared before any memory is taken for the network, and
    nothing is initialised at random. Parameters are float32 in memory of their own, whatever the file's, so that a
    generator renders the same whichever format it came in."""
    with torch.device("meta"):
        network = build_network(config)
    check_state(network.state_dict(), state, what)
    tensors = {name: _plain(state[name]) for name in network.state_dict()}
    check_finite(tensors, what)
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def _plain(tensor: Tensor) -> Tensor:
    """Copy to float32 with the usual strides, in aligned memory.

    The bytes of a file lie at any address, and kernels that are chosen by address or strides round differently.
    `contiguous` alone would not do: it copies nothing that it can read in order."""
    return tensor.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)


def check_state(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], what: str) -> None:
    """Refuse `state` unless it has the names and shapes of `expected`."""
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    if missing or unexpected:
        groups = (("missing", missing), ("unexpected", unexpected))
        parts = [f"{len(names)} {kind} ({_some(names)})" for kind, names in groups if names]
        raise CheckpointError(f"{what}: the weights do not fit the architecture: {'; '.join(parts)}")
    wrong = [name for name in expected if expected[name].shape != state[name].shape]
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{what}: {name} has shape {list(state[name].shape)}, the architecture needs {list(expected[name].shape)}"
            + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else "")
        )


def check_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    """Refuse weights with NaN or infinite values."""
    bad = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise CheckpointError(
            f"{what}: NaN or infinite values in {len(bad)} tensors ({_some(bad)}); the training diverged"
        )


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 (hex) over the sorted names, shapes and float32 values of a generator's state dict.

    The format of the file, and storage in 16 bit where the values are the same, do not change it."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def synthesis_fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 (hex) of a generator's synthesis weights alone, from a state dict under our names.

    The mapping network, the mean of W and the noise inputs, which tools store or estimate differently, do not count."""
    kept = {n: t for n, t in state.items() if n.startswith("synthesis.") and not n.endswith("noise_const")}
    return fingerprint(kept)


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
