"""MTCNN (Zhang et al. 2016): three small networks find faces, each judging closer what the one before let through.

The weights are those that facenet-pytorch carries, and tests compare the faces with its. The package itself is not
imported: it needs torchvision, which takes as long to import as torch, for a suppression of overlapping boxes."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stylegan_core.features.weights import packaged

THRESHOLDS = (0.6, 0.7, 0.7)  # probability, from which each network lets a box through
SHRINK = 0.709  # from one size of the pyramid to the next
CELL, STRIDE = 12, 2  # pixels that the first network sees of a face, and between two of its looks
AT_ONCE = 512  # boxes that a network judges at a time

Weights = dict[str, Tensor]
Judgement = tuple[Tensor, Tensor, Tensor]
Overlap = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


@torch.no_grad()
def find_faces(
    rgb: NDArray[np.uint8], min_face: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Find the faces of at least `min_face` pixels in a photo [H, W, 3].

    Returns boxes [N, 4] (left, top, right, bottom) and landmarks [N, 5, 2] (eyes, nose, mouth corners) in pixels, and
    probabilities [N]."""
    image = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float()  # [1, 3, H, W] in 0..255
    boxes = _proposals(image, min_face)
    boxes, probabilities, moves, _ = _judge(image, boxes, 24, _rnet, THRESHOLDS[1])
    kept = _suppress(boxes, probabilities, 0.7, _of_union)
    boxes = _square(_move(boxes[kept], moves[kept]))
    boxes, probabilities, moves, points = _judge(image, boxes, 48, _onet, THRESHOLDS[2])
    corner, size = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
    landmarks = points.reshape(-1, 2, 5).transpose(1, 2) * size + corner - 1  # [N, 5, 2]
    boxes = _move(boxes, moves)
    kept = _suppress(boxes, probabilities, 0.7, _of_smaller)
    return boxes[kept].numpy(), landmarks[kept].numpy(), probabilities[kept].numpy()


def _proposals(image: Tensor, min_face: int) -> Tensor:
    """Let the first network slide over the image at all sizes; returns square boxes [N, 4]."""
    height, width = image.shape[2:]
    boxes, probabilities, moves = [torch.zeros(0, 4)], [torch.zeros(0)], [torch.zeros(0, 4)]
    for scale in _pyramid(min(height, width), min_face):
        small = F.interpolate(image, size=(int(height * scale + 1), int(width * scale + 1)), mode="area")
        probability, move = _pnet(_normalised(small), _weights("pnet"))
        rows, columns = (probability[0] >= THRESHOLDS[0]).nonzero(as_tuple=True)
        corners = STRIDE * torch.stack([columns, rows], dim=1).float() + 1
        found = torch.cat([corners, corners + CELL - 1], dim=1).div(scale).floor()
        kept = _suppress(found, probability[0, rows, columns], 0.5, _of_union)
        boxes.append(found[kept])
        probabilities.append(probability[0, rows, columns][kept])
        moves.append(move[0, :, rows, columns].T[kept])
    found, move = torch.cat(boxes), torch.cat(moves)
    kept = _suppress(found, torch.cat(probabilities), 0.7, _of_union)
    found, move = found[kept], move[kept]
    return _square(found + move * (found[:, 2:] - found[:, :2]).repeat(1, 2))


def _pyramid(side: int, min_face: int) -> Iterator[float]:
    """Yield the scales at which faces from `min_face` to `side` pixels fill the first network's cell."""
    scale = CELL / min_face
    while side * scale >= CELL:
        yield scale
        scale *= SHRINK


def _judge(
    image: Tensor,
    boxes: Tensor,
    side: int,
    network: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]],
    threshold: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Show boxes [N, 4] to a network, each resized to `side` pixels.

    Returns those it lets through, their probabilities [N], moves [N, 4] and points [N, 10] in units of the box."""
    height, width = image.shape[2:]
    edges = boxes.trunc().int()
    left, top = edges[:, 0].clamp(min=1) - 1, edges[:, 1].clamp(min=1) - 1
    right, bottom = edges[:, 2].clamp(max=width), edges[:, 3].clamp(max=height)
    inside = (right > left) & (bottom > top)
    boxes = boxes[inside]
    cuts = torch.stack([left, top, right, bottom], dim=1)[inside].tolist()
    faces = [F.interpolate(image[:, :, y:ey, x:ex], size=(side, side), mode="area") for x, y, ex, ey in cuts]
    batches = _normalised(torch.cat(faces)).split(AT_ONCE) if faces else [torch.zeros(0, 3, side, side)]
    probability, move, points = (torch.cat(parts) for parts in zip(*map(network, batches), strict=True))
    passed = probability > threshold
    return boxes[passed], probability[passed], move[passed], points[passed]


def _move(boxes: Tensor, moves: Tensor) -> Tensor:
    """Move the edges of boxes [N, 4] by `moves` [N, 4], in units of the box."""
    return boxes + moves * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def _square(boxes: Tensor) -> Tensor:
    """Lengthen the shorter sides of boxes [N, 4] about their centres."""
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.amax(dim=1, keepdim=True)
    corner = boxes[:, :2] + size * 0.5 - side * 0.5
    return torch.cat([corner, corner + side], dim=1)


def _suppress(boxes: Tensor, probabilities: Tensor, threshold: float, overlap: Overlap) -> Tensor:
    """Return the indices of boxes [N, 4] that no likelier one overlaps by more than `threshold`, likeliest first."""
    corners = boxes.numpy()
    left = np.argsort(-probabilities.numpy(), kind="stable")
    kept = []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(int(first))
        left = left[overlap(corners[first], corners[left]) <= threshold]
    return torch.tensor(kept, dtype=torch.long)


def _of_union(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    shared, own, theirs = _areas(box, others, 0)
    return shared / (own + theirs - shared)


def _of_smaller(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    shared, own, theirs = _areas(box, others, 1)
    return shared / np.minimum(own, theirs)


def _areas(box: NDArray[np.float32], others: NDArray[np.float32], edge: int) -> Any:
    """Return the shared [N], own and others' [N] areas; `edge` is the pixel that a box counts beyond its difference."""
    size = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]) + edge
    own, theirs = box[2:] - box[:2] + edge, others[:, 2:] - others[:, :2] + edge
    return size.clip(0).prod(axis=1), own.prod(), theirs.prod(axis=1)


def _pnet(x: Tensor, w: Weights) -> tuple[Tensor, Tensor]:
    """Return probabilities [N, h, w] and moves [N, 4, h, w] for each cell of images [N, 3, H, W]."""
    x = F.max_pool2d(_conv(x, w, 1), 2, 2, ceil_mode=True)
    x = _conv(_conv(x, w, 2), w, 3)
    logits = F.conv2d(x, w["conv4_1.weight"], w["conv4_1.bias"])
    return logits.softmax(dim=1)[:, 1], F.conv2d(x, w["conv4_2.weight"], w["conv4_2.bias"])


def _rnet(x: Tensor) -> Judgement:
    """Return probabilities [N], moves [N, 4] and no points [N, 0] of boxes [N, 3, 24, 24]."""
    w = _weights("rnet")
    for index in (1, 2):
        x = F.max_pool2d(_conv(x, w, index), 3, 2, ceil_mode=True)
    x = F.prelu(_dense(_flat(_conv(x, w, 3)), w, "dense4"), w["prelu4.weight"])
    return _dense(x, w, "dense5_1").softmax(dim=1)[:, 1], _dense(x, w, "dense5_2"), x[:, :0]


def _onet(x: Tensor) -> Judgement:
    """Return probabilities [N], moves [N, 4] and points [N, 10] (five x, five y) of boxes [N, 3, 48, 48]."""
    w = _weights("onet")
    for index, side in ((1, 3), (2, 3), (3, 2)):
        x = F.max_pool2d(_conv(x, w, index), side, 2, ceil_mode=True)
    x = F.prelu(_dense(_flat(_conv(x, w, 4)), w, "dense5"), w["prelu5.weight"])
    return _dense(x, w, "dense6_1").softmax(dim=1)[:, 1], _dense(x, w, "dense6_2"), _dense(x, w, "dense6_3")


def _normalised(pixels: Tensor) -> Tensor:
    return (pixels - 127.5) * 0.0078125


def _conv(x: Tensor, w: Weights, index: int) -> Tensor:
    return F.prelu(F.conv2d(x, w[f"conv{index}.weight"], w[f"conv{index}.bias"]), w[f"prelu{index}.weight"])


def _flat(x: Tensor) -> Tensor:
    return x.permute(0, 3, 2, 1).flatten(1)  # the weights count columns first


def _dense(x: Tensor, w: Weights, name: str) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


@lru_cache(maxsize=3)
def _weights(name: str) -> Weights:
    return dict(torch.load(packaged("facenet_pytorch", f"data/{name}.pt"), map_location="cpu", weights_only=True))
