"""What every generator offers, and all that inversion and editing may ask of one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Alignment:
    """How the generator's training faces were cropped, relative to the FFHQ quad."""

    crop_scale: float = 1.0  # side of the crop in units of the FFHQ quad's side
    crop_shift: float = 0.0  # downward shift of its centre in units of the eye-to-mouth distance


@dataclass(frozen=True)
class CheckpointMeta:
    """What a generator knows of its own file."""

    name: str  # file stem or name of the embedded generator
    format: str  # what the file was: native, nvidia-pytorch, nvidia-tensorflow, rosinality, psp
    fingerprint: str  # SHA-256 (hex) over names, shapes and float32 values
    alignment: Alignment = Alignment()
    licence: str = ""  # licence note found in the file
    training: dict[str, Any] = field(default_factory=dict)  # kimg, data, augment_p where known
    encoder: str = ""  # file of the encoder that came with it (pSp, e4e, ReStyle); empty: none


Hook = Callable[[Tensor], Tensor]  # a layer's features [N, C, H, W] -> those that go on


@dataclass(frozen=True)
class FeatureLayer:
    """A layer of synthesis whose output may be read and changed on its way."""

    channels: int
    side: int  # of the feature maps in pixels, margins included
    num_ws: int  # codes that have come in when it is done: it depends on ws[:, :num_ws]
    margin: float = 0.0  # pixels of `side` on each side that lie outside the image


class Generator(Protocol):
    """A StyleGAN-like generator. Images are [N, img_channels, R, R] RGB in about [-1, 1]."""

    meta: CheckpointMeta
    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int
    img_resolution: int
    img_channels: int

    @property
    def w_avg(self) -> Tensor:
        """The mean of W, [w_dim]."""

    def mapping(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Map z [N, z_dim] (and labels c [N, c_dim]) to ws [N, num_ws, w_dim]."""

    @property
    def noise(self) -> dict[str, Tensor]:
        """The constant noise inputs [H, W] by layer name (`b8.conv0`); empty for a generator without."""

    @property
    def feature_layers(self) -> dict[str, FeatureLayer]:
        """The layers that `synthesis` takes hooks for, coarse to fine (`b8.conv1`); empty where there are none."""

    @property
    def synthesis(self) -> Callable[..., Tensor]:
        """Render ws [N, num_ws, w_dim]: `synthesis(ws, noise_mode='const'|'random'|'none', noise=None, hooks=None)`.

        `noise` replaces constant noise inputs by name, each [H, W] or [N, 1, H, W]. `hooks` are functions by the name
        of a feature layer; what they return goes on in its output's place."""
