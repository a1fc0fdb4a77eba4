"""The image networks whose feature maps LPIPS compares (Zhang et al. 2018): AlexNet, VGG-16 and SqueezeNet 1.1.

Layers are counted and parameters named as in torchvision's `features`, so its weights fit. The networks stand here
since importing torchvision takes as long as importing torch."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from stylegan_core.errors import WeightsUnavailableError


def alexnet() -> nn.Sequential:
    """Build AlexNet's convolutional layers (Krizhevsky 2014)."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def vgg16() -> nn.Sequential:
    """Build VGG-16's convolutional layers (Simonyan & Zisserman 2014)."""
    layers: list[nn.Module] = []
    before = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
            before = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


class Fire(nn.Module):
    """SqueezeNet's module: few channels, from which 1x1 and 3x3 convolutions make many."""

    def __init__(self, before: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [N, before, H, W] into [N, 2 * expanded, H, W]."""
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1).relu()


def squeezenet() -> nn.Sequential:
    """Build SqueezeNet 1.1's convolutional layers (Iandola et al. 2016)."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(inplace=True), pool(),
        Fire(64, 16, 64), Fire(128, 16, 64), pool(),
        Fire(128, 32, 128), Fire(256, 32, 128), pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip


BACKBONES: dict[str, Callable[[], nn.Sequential]] = {"alex": alexnet, "vgg": vgg16, "squeeze": squeezenet}
LAYERS: dict[str, Sequence[int]] = {  # whose outputs LPIPS compares
    "alex": (1, 4, 7, 9, 11),
    "vgg": (3, 8, 15, 22, 29),
    "squeeze": (1, 4, 7, 9, 10, 11, 12),
}


def build_backbone(name: str, state: Mapping[str, Tensor]) -> nn.Sequential:
    """Build the backbone `name` with torchvision's weights `state` (`features.0.weight`, ...), in eval mode, frozen."""
    with torch.device("meta"):
        network = BACKBONES[name]()
    expected = network.state_dict()
    own = {key: state[f"features.{key}"].float() for key in expected if f"features.{key}" in state}
    wrong = [key for key, value in expected.items() if key not in own or own[key].shape != value.shape]
    if wrong:
        raise WeightsUnavailableError(f"the weights of {name} lack features.{wrong[0]} or have another shape there")
    network.load_state_dict(own, assign=True)
    return network.eval().requires_grad_(False)
