"""The groups of transforms of ADA, appendix B; each leaves the samples it is not drawn for untouched, bit for bit."""

from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

from stylegan_core.augment.matrices import Draw, colour_matrices, geometric_matrices
from stylegan_core.augment.resample import bilinear_sample
from stylegan_core.augment.wavelets import SYM6, band_filters
from stylegan_core.errors import ConfigError


def augment(
    images: Tensor,
    p: float,
    rng: torch.Generator,
    groups: tuple[str, ...] = ("blit", "geometric", "colour"),
    part: tuple[int, int] = (0, 1),
) -> Tensor:
    """Transform images [N, C, S, S] in [-1, 1], each kind of transform on a sample with probability p.

    p=0 is the identity bit for bit and draws nothing. Differentiable by the images as often as wanted. `groups` are
    keys of GROUPS; `rng` is on the CPU, so that a seed means the same on every device. `part` (index, count) says
    that `images` are every count-th of a batch, and gives them the transforms they would have in the whole."""
    if images.shape[2] != images.shape[3]:
        raise ConfigError(f"augmentation wants square images, not {images.shape[3]}x{images.shape[2]}")
    if p <= 0:
        return images
    draw = Draw(len(images), p, rng, *part)
    for name in GROUPS:  # in the paper's order, whatever the order asked for
        if name in groups:
            images = GROUPS[name](images, draw)
    return images


def parse_groups(text: str) -> tuple[str, ...]:
    """Read groups from their names with commas, or from the letters of ADA's code: bgc, bgcfnc."""
    letters = {"b": "blit", "bg": "blit,geometric", "bgc": "blit,geometric,colour"}
    letters |= {
        "bgcf": letters["bgc"] + ",filter",
        "bgcfnc": letters["bgc"] + ",filter,corruption",
        "all": ",".join(GROUPS),
    }
    names = tuple(part.strip() for part in letters.get(text, text).split(",") if part.strip())
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise ConfigError(f"no augmentation {unknown[0]!r}; choose from {', '.join(GROUPS)}, or bg, bgc, bgcf, bgcfnc")
    return names


def blit(images: Tensor, draw: Draw) -> Tensor:
    """Flip, rotate by quarter turns and shift by whole pixels, by moving pixels only (reflected at the border)."""
    size = images.shape[-1]
    flip = draw.active(draw.p / 2)
    turns = torch.where(draw.active(), draw.uniform(0, 4).floor().clamp_max(3), 0).long()
    shift_active = draw.active()
    shifts = [torch.where(shift_active, (draw.uniform(-0.125, 0.125) * size).round(), 0).long() for _ in "xy"]
    if not (flip.any() or turns.any() or shifts[0].any() or shifts[1].any()):
        return images
    # Go back from each output pixel to where it came from: unshift, unturn, unflip.
    x = _reflected(torch.arange(size)[None, None, :] - shifts[0][:, None, None], size).expand(-1, size, -1)
    y = _reflected(torch.arange(size)[None, :, None] - shifts[1][:, None, None], size).expand(-1, -1, size)
    for quarter in range(1, 4):
        turn = (turns >= quarter)[:, None, None]
        x, y = torch.where(turn, size - 1 - y, x), torch.where(turn, x, y)
    x = torch.where(flip[:, None, None], size - 1 - x, x)
    index = (y * size + x).flatten(1).to(images.device)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)


def _reflected(index: Tensor, size: int) -> Tensor:
    """Fold indices into [0, size) by reflection at the outermost pixels."""
    if size == 1:
        return torch.zeros_like(index)
    index = index.abs() % (2 * (size - 1))
    return torch.where(index >= size, 2 * (size - 1) - index, index)


def geometric(images: Tensor, draw: Draw) -> Tensor:
    """Scale, rotate, stretch and move, at twice the resolution and low-passed against aliasing."""
    matrix = geometric_matrices(draw, images.shape[-1])
    changed = (matrix != torch.eye(3)).flatten(1).any(1)
    if not changed.any():
        return images
    where = changed.nonzero().squeeze(1)
    warped = warp(images[where.to(images.device)], matrix[where])
    return images.index_copy(0, where.to(images.device), warped)


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Move the content of images [n, C, S, S] by matrix [n, 3, 3] on centred pixel coordinates.

    The border is reflected (as far as there is image to reflect: S - 1 pixels, zeros beyond)."""
    size, taps = images.shape[-1], len(SYM6)
    inverse = matrix.inverse()
    # How far outside the image the output looks, plus the reach of both filters.
    corners = torch.tensor([[-1.0, -1, 1, 1], [-1, 1, -1, 1], [2 / size, 2 / size, 2 / size, 2 / size]]) * size / 2
    reach = (inverse @ corners)[:, :2].abs().max().item() - size / 2
    border = min(max(ceil(reach) + taps // 2, 0), size - 1)
    padded = _resample(pad(images, [border] * 4, mode="reflect"), up=True)
    # sym6 is not quite symmetric: its centre of mass, where smooth content goes, is this far from its middle.
    delay = (sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6) - (taps - 1) / 2) / 2
    margin = taps // 4  # the low-pass reads this many output pixels beyond the edge
    steps = (torch.arange(2 * (size + 2 * margin)) + 0.5) / 2 - delay - margin - size / 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten(), torch.ones(x.numel())])  # [3, h * w]
    source = ((inverse @ points)[:, :2] + delay) * (2 / (size + 2 * border))  # [n, 2, h * w] in [-1, 1]
    grid = source.transpose(1, 2).reshape(len(images), *x.shape, 2).to(images)
    sampled = _resample(bilinear_sample(padded, grid), up=False)
    return sampled[..., margin : margin + size, margin : margin + size]


def _resample(images: Tensor, up: bool) -> Tensor:
    """Change the size by two with sym6; down after up is the identity inside, by the filter's orthogonality."""
    taps = torch.tensor(SYM6).to(images)
    taps = taps * 2**0.5 if up else taps / 2**0.5
    change = conv_transpose2d if up else conv2d
    flat = images.flatten(0, 1)[:, None]
    offset = len(SYM6) // 2 - 1
    flat = change(flat, taps.view(1, 1, 1, -1), stride=(1, 2), padding=(0, offset))
    flat = change(flat, taps.view(1, 1, -1, 1), stride=(2, 1), padding=(offset, 0))
    return flat.view(*images.shape[:2], *flat.shape[2:])


def colour(images: Tensor, draw: Draw) -> Tensor:
    """Change brightness, contrast, luminance sign, hue and saturation; grey images take the mean over channels."""
    matrix = colour_matrices(draw)
    changed = (matrix != torch.eye(4)).flatten(1).any(1).to(images.device)[:, None, None, None]
    if not changed.any():
        return images
    matrix = matrix.to(images)
    if images.shape[1] == 1:
        scale, offset = matrix[:, :3, :3].sum(2).mean(1), matrix[:, :3, 3].mean(1)
        return torch.where(changed, images * scale[:, None, None, None] + offset[:, None, None, None], images)
    mixed = torch.einsum("nij,njhw->nihw", matrix[:, :3, :3], images) + matrix[:, :3, 3, None, None]
    return torch.where(changed, mixed, images)


# Mean power of natural images by band, appendix B.4: gains are normalised to keep the expected power.
_BAND_POWER = torch.tensor([10.0, 1, 1, 1]) / 13


def frequency_filter(images: Tensor, draw: Draw) -> Tensor:
    """Amplify or damp four frequency bands."""
    bank = band_filters(len(_BAND_POWER))
    gains = torch.ones(draw.num, len(bank))
    for band in range(len(bank)):
        gain = torch.ones_like(gains)
        gain[:, band] = draw.lognormal(1.0)
        gain = gain / (_BAND_POWER * gain.square()).sum(1, keepdim=True).sqrt()
        gains = torch.where(draw.active()[:, None], gains * gain, gains)
    where = (gains != 1).any(1).nonzero().squeeze(1)
    if not len(where):
        return images
    kernels = (gains[where] @ bank).to(images).repeat_interleave(images.shape[1], 0)  # [n * C, taps]
    num, reach = len(kernels), bank.shape[1] // 2
    border = min(reach, images.shape[-1] - 1)
    flat = images[where.to(images.device)].reshape(1, num, *images.shape[2:])
    flat = pad(pad(flat, [border] * 4, mode="reflect"), [reach - border] * 4)
    flat = conv2d(flat, kernels[:, None, None, :], groups=num)
    flat = conv2d(flat, kernels[:, None, :, None], groups=num)
    return images.index_copy(0, where.to(images.device), flat.view(len(where), *images.shape[1:]))


def corruption(images: Tensor, draw: Draw) -> Tensor:
    """Add Gaussian noise of random strength, and cut out a square of half the side (zero)."""
    sigma = torch.where(draw.active(), draw.normal(0.1).abs(), 0.0).to(images)
    if draw.p > 0:  # whatever was drawn for this part of the batch: all parts must use up the same numbers
        images = images + draw.pixels(images.shape).to(images) * sigma[:, None, None, None]
    half = torch.where(draw.active(), 0.25, 0.0)  # half the side of the hole
    centre_x, centre_y = draw.uniform(0, 1), draw.uniform(0, 1)
    places = (torch.arange(images.shape[-1]) + 0.5) / images.shape[-1]
    in_x = (places[None] - centre_x[:, None]).abs() < half[:, None]
    in_y = (places[None] - centre_y[:, None]).abs() < half[:, None]
    hole = (in_y[:, None, :, None] & in_x[:, None, None, :]).to(images.device)
    return images.masked_fill(hole, 0.0) if hole.any() else images


GROUPS = {
    "blit": blit,
    "geometric": geometric,
    "colour": colour,
    "filter": frequency_filter,
    "corruption": corruption,
}
