"""Bring detail back into the coarse part of a sharp face: a small U-Net, trained by `invertigo restorer train`."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inversion.faces.blend import box_of
from stylegan_core.assets import asset_path
from stylegan_core.checkpoints.native import read_safetensors, write_safetensors
from stylegan_core.errors import CheckpointError, ConfigError

FORMAT = "invertigo-restorer-1"
SHIPPED, TEETH = "face_restorer.safetensors", "face_teeth.safetensors"
WIDTHS = (24, 48, 80, 112)  # feature maps at full, half, ... resolution
MAX_WIDTH = 1024
FACE_SIDE = 340  # pixels of a face at which it runs at most: the largest that it was trained on
AMOUNT = 0.6  # of the residual that is taken: all of it is sharper than a photo (docs/editing.md)


class _Convolutions(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)


class Restorer(nn.Module):
    """Pictures [N, 3, H, W] in [-1, 1] and masks [N, 1, H, W] in 0..1 -> pictures with detail where the mask is one.

    A U-Net (Ronneberger et al. 2015) that adds a residual inside the mask; untrained it changes nothing. `what` says
    what it has learnt: detail, or teeth of their sketch."""

    def __init__(self, widths: Sequence[int] = WIDTHS, what: str = "detail") -> None:
        super().__init__()
        self.widths, self.what = tuple(widths), what
        steps = list(zip(self.widths, self.widths[1:], strict=False))
        self.start = _Convolutions(4, self.widths[0])
        self.down = nn.ModuleList(_Convolutions(fine, coarse) for fine, coarse in steps)
        self.up = nn.ModuleList(_Convolutions(fine + coarse, fine) for fine, coarse in steps)
        self.residual = nn.Conv2d(self.widths[0], 3, 1)
        nn.init.zeros_(self.residual.weight)
        assert self.residual.bias is not None
        nn.init.zeros_(self.residual.bias)

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return images of the same size, not clipped; where the mask is zero they are the given ones."""
        height, width = images.shape[2:]
        step = 2 ** len(self.down)
        pads = [0, -width % step, 0, -height % step]
        x = F.pad(torch.cat([images, masks], dim=1), pads, mode="replicate")
        maps = [self.start(x)]
        for block in self.down:
            maps.append(block(F.avg_pool2d(maps[-1], 2)))
        y = maps.pop()
        for block in reversed(self.up):
            y = block(torch.cat([maps.pop(), F.interpolate(y, scale_factor=2, mode="nearest")], dim=1))
        return images + masks * self.residual(y)[:, :, :height, :width]


@torch.no_grad()
def restore(network: Restorer, image: Tensor, mask: Tensor, side: float) -> Tensor:
    """Return a picture [1, 3, h, w] in [-1, 1] with detail brought back where `mask` [1, 1, h, w] in 0..1 says.

    `side` is that of the face in its pixels. Where the mask is zero, the picture stays bit for bit."""
    found = box_of(mask[0, 0])
    if found is None:
        return image
    box = (..., *found)
    part, inside = image[box], mask[box]
    scale = min(1.0, FACE_SIDE / side)
    size = [max(8, round(pixels * scale)) for pixels in part.shape[2:]]
    seen = F.interpolate(part, size=size, mode="bicubic", antialias=True, align_corners=False)
    residual = network(seen, F.interpolate(inside, size=size, mode="bilinear", antialias=True)) - seen
    result = image.clone()
    result[box] += AMOUNT * (inside > 0) * F.interpolate(residual, size=part.shape[2:], mode="bicubic")
    return result


def save_restorer(path: str | Path, network: Restorer, report: dict[str, object]) -> None:
    """Write a restorer in 16 bit."""
    about = {"widths": network.widths, "what": network.what, "report": report}
    tensors = {name: tensor.detach().cpu().half() for name, tensor in network.state_dict().items()}
    write_safetensors(Path(path), tensors, {"format": FORMAT, "about": json.dumps(about)})


def load_restorer(path: str | Path) -> Restorer:
    """Load a restorer; raises `CheckpointError` for anything else."""
    tensors, header = read_safetensors(Path(path))
    try:
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format'][:40]}")
        about = json.loads(header["about"])
        widths = about["widths"]
        if not (2 <= len(widths) <= 8 and all(isinstance(n, int) and 1 <= n <= MAX_WIDTH for n in widths)):
            raise ValueError("its sizes make no sense")
        with torch.device("meta"):
            network = Restorer(widths, str(about.get("what", "detail")))
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{path}: not a restorer ({reason}); train one: `invertigo restorer train`") from error
    return network.eval().requires_grad_(False)


def find_restorer(name: str) -> Restorer | None:
    """Return the restorer that `--restore` names: `auto` the shipped one, `none` None, else a file's."""
    return _find(name, "detail", SHIPPED)


def find_teeth(name: str) -> Restorer | None:
    """Return the painter of teeth: that of a file that `--restore` names, none for `none`, else the shipped one."""
    return _find(name, "teeth", TEETH)


def _find(name: str, what: str, shipped: str) -> Restorer | None:
    if name == "none":
        return None
    if name != "auto":
        path = Path(name)
        if not path.is_file():
            raise ConfigError(
                f"--restore {name}: no such file; expected auto, none, or a file of `invertigo restorer train`"
            )
        own = _loaded(path, path.stat().st_mtime_ns)
        if own.what == what:
            return own
    path = asset_path(shipped)
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=3)
def _loaded(path: Path, stamp: int) -> Restorer:  # `stamp` is the file's time: one written anew is read anew
    return load_restorer(path)
