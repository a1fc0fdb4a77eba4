"""From tensors under published names to a network that is ready to use."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_core.checkpoints.assemble import check_finite, check_state

COUNTER = "num_batches_tracked"  # of batch norms; nothing depends on it


def tensors_under(content: Any, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of a state dict whose names begin with `prefix`, without it and without step counters."""
    if not isinstance(content, Mapping):
        return {}
    return {
        str(name).removeprefix(prefix): value
        for name, value in content.items()
        if str(name).startswith(prefix) and isinstance(value, Tensor) and not str(name).endswith(COUNTER)
    }


def filled(network: nn.Module, weights: Mapping[str, Tensor], what: str, device: torch.device) -> Any:
    """Give a network made on the meta device its weights, in eval mode and without gradients.

    Raises `CheckpointError`, which `what` begins, for names or shapes that do not fit and for values that are not
    finite."""
    expected = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}
    check_state(expected, weights, what)
    state = {name: weights[name].detach().to(torch.float32).contiguous() for name in expected}
    check_finite(state, what)
    counters = {name: torch.zeros([], dtype=torch.int64) for name in network.state_dict() if name.endswith(COUNTER)}
    network.load_state_dict({**state, **counters}, assign=True)
    return network.eval().requires_grad_(False).to(device)
