"""The perceptual distance of an image pair: LPIPS with its target's features computed once."""

import contextlib
import io
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_core.assets import asset_path
from stylegan_core.errors import ConfigError
from stylegan_core.features.weights import TORCHVISION, cached, obtain

UNCALIBRATED = "squeeze-uncalibrated"
NAMES = ("auto", *TORCHVISION, UNCALIBRATED)


class PerceptualDistance(nn.Module):
    """LPIPS (Zhang et al. 2018) through the `lpips` package, split so that a fixed target is encoded once.

    `name` says which features these are: a calibrated network's name, or `squeeze-uncalibrated` for the embedded
    SqueezeNet, whose channels the package's linear heads were not trained for and are therefore averaged unweighted."""

    def __init__(self, name: str, model: Any) -> None:
        super().__init__()
        self.name = name
        self.model: Any = model.eval().requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Encode RGB images [N, 3, H, W] in [-1, 1] as unit-normalised feature maps [N, C, h, w], shallow to deep."""
        outputs = self.model.net(self.model.scaling_layer(images))
        return [F.normalize(output, dim=1, eps=1e-10) for output in outputs]

    def between(self, features: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Return the distance [N] of two lists of feature maps."""
        layers = []
        for index, (one, other) in enumerate(zip(features, target, strict=True)):
            difference = (one - other).square()
            weighted = self.model.lins[index](difference) if self.model.lpips else difference.sum(dim=1, keepdim=True)
            layers.append(weighted.mean(dim=(1, 2, 3)))
        return torch.stack(layers).sum(dim=0)

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """Return the distance [N] of images and targets [N, 3, H, W] in [-1, 1]."""
        return self.between(self.features(images), self.features(target))


def load_perceptual(name: str = "auto", device: torch.device | str = "cpu") -> PerceptualDistance:
    """Load the perceptual distance called `name`.

    `alex`, `vgg` and `squeeze` are LPIPS with calibrated weights (the backbone is fetched if the cache lacks it);
    `squeeze-uncalibrated` needs nothing; `auto` is `vgg` or `alex` where cached, else `squeeze-uncalibrated`."""
    if name not in NAMES:
        raise ConfigError(f"perceptual features '{name}' are unknown; expected one of {', '.join(NAMES)}")
    if name == "auto":
        name = next((net for net in ("vgg", "alex") if cached(TORCHVISION[net])), UNCALIBRATED)
    if name == UNCALIBRATED:
        model = _lpips("squeeze", calibrated=False)
        state = load_file(asset_path("squeezenet1_1_features.safetensors"))
    else:
        model = _lpips(name, calibrated=True)
        state = torch.load(obtain(TORCHVISION[name]), map_location="cpu", weights_only=True)
    _load_backbone(model.net, state)
    return PerceptualDistance(name, model).to(device)


def _lpips(net: str, calibrated: bool) -> Any:
    import lpips  # slow to import, and only this function needs it

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # its torchvision calls are deprecated but correct
        return lpips.LPIPS(net=net, lpips=calibrated, pnet_rand=True, verbose=False)


def _load_backbone(net: nn.Module, state: dict[str, Tensor]) -> None:
    """Fill lpips' slices, whose parameters carry torchvision's layer index as their name."""
    own = net.state_dict()
    by_layer = {name.split(".", 1)[1]: name for name in own}  # '3.squeeze.weight' -> 'slice2.3.squeeze.weight'
    filled = {}
    for name, tensor in state.items():
        prefix, _, layer = name.partition(".")
        if prefix == "features" and layer in by_layer:
            filled[by_layer[layer]] = tensor.float()
    net.load_state_dict(filled, strict=True)
