"""Discriminators: images [N, img_channels, R, R] (and labels) -> logits [N, 1]; all are double differentiable."""

import math

import torch
from torch import Tensor, nn

from stylegan_core.errors import ImageError
from stylegan_core.networks.configs import StyleGAN2DiscriminatorConfig
from stylegan_core.networks.layers import Conv2d, FullyConnected
from stylegan_core.networks.mapping import MappingNetwork
from stylegan_core.ops.resample import downsample2d, fast_format, make_filter


def append_minibatch_std(x: Tensor, group_size: int, num_channels: int) -> Tensor:
    """Append to x [N, C, H, W] `num_channels` maps with the standard deviation over groups of samples.

    (Progressive GAN, section 3.) Sample i is grouped with i + N/g, i + 2N/g, ...; g is the largest divisor of N that
    does not exceed `group_size`."""
    num, channels, height, width = x.shape
    group = max(g for g in range(1, min(group_size, num) + 1) if num % g == 0)
    precise = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    grouped = precise.reshape(group, num // group, num_channels, channels // num_channels, height, width)
    std = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=[2, 3, 4])  # [N / g, num_channels]
    maps = std.to(x.dtype)[:, :, None, None].repeat(group, 1, height, width)
    return torch.cat([x, maps], dim=1)


class Epilogue(nn.Module):
    """The last block, at 4 px: features [N, C, 4, 4] -> logits [N, out_features]."""

    def __init__(
        self,
        channels: int,
        out_features: int,
        hidden: int,
        rgb_channels: int = 0,
        group_size: int = 4,
        num_std: int = 1,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.group_size, self.num_std = group_size, num_std
        if rgb_channels:
            self.fromrgb = Conv2d(rgb_channels, channels, 1, activation="lrelu", conv_clamp=clamp)
        self.conv = Conv2d(channels + num_std, channels, 3, activation="lrelu", conv_clamp=clamp)
        self.fc = FullyConnected(channels * 16, hidden, activation="lrelu")
        self.out = FullyConnected(hidden, out_features)

    def forward(self, x: Tensor, img: Tensor | None) -> Tensor:
        """Return [N, out_features]; `img` [N, img_channels, 4, 4] comes with the skip architecture only."""
        if img is not None:
            x = x + self.fromrgb(img)
        if self.num_std > 0:
            x = append_minibatch_std(x, self.group_size, self.num_std)
        return self.out(self.fc(self.conv(x).flatten(1)))


class DiscriminatorBlock(nn.Module):
    """The layers of one resolution R: features and image at R -> features (and image) at R/2."""

    def __init__(self, resolution: int, config: StyleGAN2DiscriminatorConfig) -> None:
        super().__init__()
        self.architecture = config.architecture
        inner, out_channels = config.channels_at(resolution), config.channels_at(resolution // 2)
        taps, clamp = config.resample_filter, config.conv_clamp
        if resolution == config.img_resolution or config.architecture == "skip":
            self.fromrgb = Conv2d(config.img_channels, inner, 1, activation="lrelu", conv_clamp=clamp)
        self.conv0 = Conv2d(inner, inner, 3, activation="lrelu", conv_clamp=clamp)
        self.conv1 = Conv2d(inner, out_channels, 3, activation="lrelu", conv_clamp=clamp, down=2, resample_filter=taps)
        if config.architecture == "resnet":
            self.skip = Conv2d(inner, out_channels, 1, bias=False, down=2, resample_filter=taps)
        self.register_buffer("taps", make_filter(taps), persistent=False)
        self.taps: Tensor

    def forward(self, x: Tensor | None, img: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return features [N, out, R/2, R/2] and, with the skip architecture, the image at R/2."""
        if img is not None:
            seen = self.fromrgb(fast_format(img.to(dtype)))
            x = seen if x is None else x.to(dtype) + seen
            img = downsample2d(img, self.taps) if self.architecture == "skip" else None
        assert x is not None
        x = fast_format(x.to(dtype))
        if self.architecture == "resnet":
            skip = self.skip(x, gain=math.sqrt(0.5))
            return skip + self.conv1(self.conv0(x), gain=math.sqrt(0.5)), img
        return self.conv1(self.conv0(x)), img


class StyleGAN2Discriminator(nn.Module):
    """The discriminator of StyleGAN2 and StyleGAN3; with labels it projects onto their embedding (Miyato 2018)."""

    def __init__(self, config: StyleGAN2DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.c_dim, self.img_channels = config.c_dim, config.img_channels
        self.img_resolution = config.img_resolution
        self.half_dtype = torch.float16  # or bfloat16: the format of the num_fp16_res highest blocks on a GPU
        for resolution in config.block_resolutions[:0:-1]:
            setattr(self, f"b{resolution}", DiscriminatorBlock(resolution, config))
        channels = config.channels_at(4)
        embeds = config.c_dim > 0 and config.label_projection == "embedding"
        self.cmap_dim = 0 if not embeds else channels if config.cmap_dim is None else config.cmap_dim
        self.b4 = Epilogue(
            channels,
            self.cmap_dim or max(config.c_dim, 1),
            hidden=channels,
            rgb_channels=config.img_channels if config.architecture == "skip" else 0,
            group_size=config.mbstd_group_size,
            num_std=config.mbstd_num_channels,
            clamp=config.conv_clamp,
        )
        if embeds:
            self.mapping = MappingNetwork(0, config.c_dim, self.cmap_dim, num_ws=0, num_layers=config.mapping_layers)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Return logits [N, 1], high for real images."""
        check_images(img, self.img_channels, self.img_resolution)
        check_labels(c, self.c_dim, len(img))
        x: Tensor | None = None
        left: Tensor | None = img
        lowest_half = max(self.img_resolution * 2 >> self.config.num_fp16_res, 8)
        for resolution in self.config.block_resolutions[:0:-1]:
            half = img.is_cuda and resolution >= lowest_half
            x, left = getattr(self, f"b{resolution}")(x, left, self.half_dtype if half else img.dtype)
        assert x is not None
        x = self.b4(x.to(img.dtype), left)
        if not self.c_dim:
            return x
        if not self.cmap_dim and c is not None:
            return (x * c).sum(dim=1, keepdim=True)
        return (x * self.mapping(None, c)).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)


def check_labels(c: Tensor | None, c_dim: int, num: int) -> None:
    """Refuse missing labels, or labels of another shape than [N, c_dim]."""
    if c_dim and (c is None or tuple(c.shape) != (num, c_dim)):
        seen = "missing" if c is None else list(c.shape)
        raise ImageError(f"labels are {seen}; this discriminator takes [{num}, {c_dim}] with the images")


def check_images(img: Tensor, channels: int, resolution: int) -> None:
    """Refuse images of another size than the discriminator was made for."""
    if img.ndim != 4 or tuple(img.shape[1:]) != (channels, resolution, resolution):
        raise ImageError(
            f"images are {list(img.shape)}; this discriminator takes [N, {channels}, {resolution}, {resolution}]"
        )
