"""The perceptual distance of an image pair: LPIPS with its target's features computed once."""

from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_core.assets import asset_path
from stylegan_core.errors import ConfigError
from stylegan_core.features.backbones import LAYERS, build_backbone
from stylegan_core.features.weights import TORCHVISION, cached, obtain, packaged

SHIFT = (-0.030, -0.088, -0.188)  # with SCALE: ImageNet's mean and deviation in [-1, 1], rounded as LPIPS rounds them
SCALE = (0.458, 0.448, 0.450)
SMALLEST = 32  # pixels a side of what the backbones can take
UNCALIBRATED = "squeeze-uncalibrated"
NAMES = ("auto", *TORCHVISION, UNCALIBRATED)


class PerceptualDistance(nn.Module):
    """LPIPS (Zhang et al. 2018), split so that a fixed target is encoded once; tests compare it with the package.

    `name` says which features these are: a calibrated network's name, or `squeeze-uncalibrated` for the embedded
    SqueezeNet, whose channels LPIPS's linear heads were not trained for and are therefore added unweighted."""

    shift: Tensor
    scale: Tensor

    def __init__(
        self, name: str, backbone: nn.Sequential, layers: Sequence[int], heads: Sequence[Tensor] | None = None
    ) -> None:
        """`layers` are those of `backbone` that are compared; `heads` weigh their channels, [1, C, 1, 1] each."""
        super().__init__()
        self.name = name
        self.backbone = backbone
        self.layers = tuple(layers)
        self.heads = None if heads is None else nn.ParameterList(nn.Parameter(head, False) for head in heads)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])

    def features(self, images: Tensor) -> list[Tensor]:
        """Encode images [N, 3 or 1, H, W] in [-1, 1] as unit-normalised feature maps [N, C, h, w], shallow to deep.

        Images of fewer than SMALLEST pixels a side, of which the deeper layers would have none left, are enlarged."""
        if min(images.shape[2:]) < SMALLEST:
            images = F.interpolate(images, scale_factor=SMALLEST / min(images.shape[2:]), mode="bilinear")
        x = (images - self.shift) / self.scale
        found = []
        for index, layer in enumerate(self.backbone[: self.layers[-1] + 1]):
            x = layer(x)
            if index in self.layers:
                found.append(F.normalize(x, dim=1, eps=1e-10))
        return found

    def between(self, features: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Return the distance [N] of two lists of feature maps."""
        layers = []
        for index, (one, other) in enumerate(zip(features, target, strict=True)):
            difference = (one - other).square()
            weighted = difference.sum(dim=1) if self.heads is None else F.conv2d(difference, self.heads[index])
            layers.append(weighted.flatten(1).mean(dim=1))
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
        backbone = build_backbone("squeeze", load_file(asset_path("squeezenet1_1_features.safetensors")))
        return PerceptualDistance(name, backbone, LAYERS["squeeze"]).to(device)
    state = torch.load(obtain(TORCHVISION[name]), map_location="cpu", weights_only=True)
    return PerceptualDistance(name, build_backbone(name, state), LAYERS[name], _heads(name)).to(device)


def _heads(name: str) -> list[Tensor]:
    """Read the weights of the channels [1, C, 1, 1], layer by layer, that the lpips package carries."""
    state = torch.load(packaged("lpips", f"weights/v0.1/{name}.pth"), map_location="cpu", weights_only=True)
    return [state[f"lin{index}.model.1.weight"] for index in range(len(LAYERS[name]))]
