"""The discriminator that grows with StyleGAN1 and Progressive GAN: images -> logits [N, 1]."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_core.errors import ImageError
from stylegan_core.networks.configs import StyleGAN1DiscriminatorConfig
from stylegan_core.networks.discriminators import Epilogue, check_labels
from stylegan_core.networks.layers import Conv2d
from stylegan_core.networks.stylegan1 import growth
from stylegan_core.ops.activation import SQRT2, activate_
from stylegan_core.ops.resample import fast_format, fir2d, make_filter


class DownBlock(nn.Module):
    """The layers of one resolution R: features [N, C, R, R] -> [N, out, R/2, R/2]."""

    def __init__(self, resolution: int, config: StyleGAN1DiscriminatorConfig) -> None:
        super().__init__()
        inner, out_channels = config.channels_at(resolution), config.channels_at(resolution // 2)
        self.fromrgb = Conv2d(config.img_channels, inner, 1, activation="lrelu")
        self.conv0 = Conv2d(inner, inner, 3, activation="lrelu")
        self.conv1 = Conv2d(inner, out_channels, 3, activation="lrelu")
        self.blurs = len(config.blur_filter) > 1
        self.register_buffer("taps", make_filter(config.blur_filter), persistent=False)
        self.taps: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return the features at half the resolution."""
        x = self.conv0(x)
        if self.blurs:
            before = len(self.taps) // 2
            x = fir2d(x, self.taps, (before, len(self.taps) - 1 - before))
        bias = None if self.conv1.bias is None else self.conv1.bias * SQRT2
        return activate_(conv2d_mean_down(x, self.conv1.weight * self.conv1.weight_gain, bias), "lrelu")


def conv2d_mean_down(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve x [N, in, H, W] with `weight` [out, in, 3, 3], then average 2x2 pixels, in one step."""
    padded = F.pad(weight, [1, 1, 1, 1])
    merged = padded[:, :, 1:, 1:] + padded[:, :, :-1, 1:] + padded[:, :, 1:, :-1] + padded[:, :, :-1, :-1]
    return F.conv2d(x, merged / 4, bias, stride=2, padding=1)


class StyleGAN1Discriminator(nn.Module):
    """A progressive discriminator; while `lod` > 0 its upper blocks are not used yet."""

    def __init__(self, config: StyleGAN1DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.c_dim, self.img_channels = config.c_dim, config.img_channels
        self.img_resolution = config.img_resolution
        self.register_buffer("lod", torch.zeros([]))
        self.lod: Tensor
        for resolution in config.block_resolutions[:0:-1]:
            setattr(self, f"b{resolution}", DownBlock(resolution, config))
        channels = config.channels_at(4)
        self.b4 = Epilogue(
            channels,
            max(config.c_dim, 1),
            hidden=config.fc_features or channels,
            rgb_channels=config.img_channels,
            group_size=config.mbstd_group_size,
            num_std=config.mbstd_num_channels,
        )

    def forward(self, img: Tensor, c: Tensor | None = None, lod: float | None = None) -> Tensor:
        """Return logits [N, 1] at level of detail `lod` (None: the stored one), high for real images.

        Images may come at the full resolution R or at the active one; with labels [N, c_dim] each class has a logit."""
        check_labels(c, self.c_dim, len(img))
        top, fade = growth(self.lod.item() if lod is None else lod, self.img_resolution)
        side = img.shape[-1] if img.ndim == 4 else 0
        if side not in (top, self.img_resolution) or tuple(img.shape[1:]) != (self.img_channels, side, side):
            raise ImageError(
                f"images are {list(img.shape)}; this discriminator takes [N, {self.img_channels}, {top}, {top}], "
                f"or {self.img_resolution} pixels"
            )
        img = F.avg_pool2d(img, side // top) if side > top else img
        x = self._from_rgb(img, top)
        while top > 4:
            x = getattr(self, f"b{top}")(x)
            top //= 2
            if fade > 0:
                x = x.lerp(self._from_rgb(F.avg_pool2d(img, 2), top), fade)
                fade = 0.0
        x = self.b4(x, None)
        return x if c is None or not self.c_dim else (x * c).sum(dim=1, keepdim=True)

    def _from_rgb(self, img: Tensor, resolution: int) -> Tensor:
        features: Tensor = getattr(self, f"b{resolution}").fromrgb(fast_format(img))
        return features
