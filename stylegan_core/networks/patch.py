"""A discriminator of patches: it judges texture, wherever it stands in the image."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

WIDTH = 32  # feature maps of the first layer


class PatchDiscriminator(nn.Module):
    """Images [N, C, H, W] -> logits [N, 1, H / 8, W / 8]: one a patch of 70 pixels (Isola et al. 2017).

    Spectral normalisation (Miyato et al. 2018) bounds its slope, so that it needs no gradient penalty."""

    def __init__(self, img_channels: int, width: int = WIDTH) -> None:
        super().__init__()
        sizes = [img_channels, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for one, two in pairwise(sizes):
            layers += [spectral_norm(nn.Conv2d(one, two, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        layers += [spectral_norm(nn.Conv2d(sizes[-1], sizes[-1], 3, padding=1)), nn.LeakyReLU(0.2)]
        layers.append(nn.Conv2d(sizes[-1], 1, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of all patches."""
        logits: Tensor = self.layers(images)
        return logits
