"""IR-SE50, the residual network under pSp, e4e, ReStyle and ArcFace.

ResNet-50 as ArcFace builds it (Deng et al. 2019, section 3.2: batch norm - convolution - PReLU - convolution - batch
norm), with squeeze-and-excitation in every unit (Hu et al. 2018). Parameter names are those of the published files."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_core.errors import CheckpointError

REDUCTION = 16  # of the channels between squeeze and excitation
STAGES = 4
MAX_CHANNELS, MAX_UNITS = 4096, 128  # of any size read from a file


@dataclass(frozen=True)
class BackboneShape:
    """What defines the backbone; the field's files all have the defaults."""

    in_channels: int = 3  # 6 where an encoder also sees the reconstruction so far
    stem: int = 64
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of each stage; each begins with a stride of 2
    units: tuple[int, ...] = (3, 4, 14, 3)


class SqueezeExcitation(nn.Module):
    """Weigh the channels of x [N, C, H, W] by what their means say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // REDUCTION)
        self.fc1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.fc2 = nn.Conv2d(inner, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with each channel scaled by a factor in (0, 1)."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * self.fc2(F.relu(self.fc1(mean))).sigmoid()


class Unit(nn.Module):
    """One residual unit; the shortcut is a projection where the width changes, else the input at every `stride`."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if width_in != width:
            projection = nn.Conv2d(width_in, width, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(projection, nn.BatchNorm2d(width))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Conv2d(width_in, width, 3, 1, 1, bias=False),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            SqueezeExcitation(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, width, H / stride, W / stride]."""
        return self.res_layer(x) + self.shortcut_layer(x)


class Backbone(nn.Module):
    """Images [N, in_channels, S, S] in [-1, 1] -> feature maps at S/4, S/8 and S/16."""

    def __init__(self, shape: BackboneShape) -> None:
        super().__init__()
        self.shape = shape
        self.input_layer = nn.Sequential(
            nn.Conv2d(shape.in_channels, shape.stem, 3, 1, 1, bias=False),
            nn.BatchNorm2d(shape.stem),
            nn.PReLU(shape.stem),
        )
        units: list[nn.Module] = []
        width_in = shape.stem
        for width, count in zip(shape.widths, shape.units, strict=True):
            units += [Unit(width_in if i == 0 else width, width, 2 if i == 0 else 1) for i in range(count)]
            width_in = width
        self.body = nn.Sequential(*units)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the last maps of stages 2, 3 and 4: [N, C2, S/4, S/4], [N, C3, S/8, S/8], [N, C4, S/16, S/16]."""
        x = self.input_layer(images)
        maps, unit = [], iter(self.body)
        for count in self.shape.units:
            for _ in range(count):
                x = next(unit)(x)
            maps.append(x)
        return maps[1], maps[2], maps[3]


def backbone_shape(state: Mapping[str, Tensor]) -> BackboneShape:
    """Read the backbone's shape from its weights; raises `CheckpointError` for another network's."""
    try:
        stem, in_channels = state["input_layer.0.weight"].shape[:2]
        outputs: list[int] = []
        while (first := state.get(f"body.{len(outputs)}.res_layer.1.weight")) is not None:
            outputs.append(first.shape[0])
            if len(outputs) > MAX_UNITS or max(first.shape) > MAX_CHANNELS:
                raise ValueError("more or wider units than any of its kind has")
        widths = list(dict.fromkeys(outputs))
        if len(widths) != STAGES or outputs != sorted(outputs):
            raise ValueError(f"the widths of its units are {widths}, expected {STAGES} that grow")
    except (KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(f"its weights are not those of an IR-SE backbone ({error})") from None
    return BackboneShape(in_channels, stem, tuple(widths), tuple(outputs.count(width) for width in widths))
