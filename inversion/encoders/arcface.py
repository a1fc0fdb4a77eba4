"""ArcFace on IR-SE50 (Deng et al. 2019): the identity network that the field trains its encoders with."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inversion.encoders.backbone import MAX_CHANNELS, Backbone, BackboneShape, backbone_shape
from inversion.encoders.weights import filled, tensors_under
from inversion.faces.judges import judge_region
from stylegan_core.checkpoints.load import read_content
from stylegan_core.errors import CheckpointError
from stylegan_core.networks.protocol import Alignment

SIDE = 112  # pixels of the network's input
FACE_SIDE = 256  # pixels at which the region is cut out of an aligned face
REGION = (32 / 256, 35 / 256, 220 / 256, 223 / 256)  # left, top, right, bottom in units of the FFHQ quad


class ArcFace(Backbone):
    """Faces [N, 3, 112, 112] in [-1, 1] -> descriptors [N, D] of length 1."""

    def __init__(self, shape: BackboneShape, size: int) -> None:
        super().__init__(shape)
        width = shape.widths[3]
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Dropout(),  # does nothing in eval mode; it keeps its place in the published names
            nn.Flatten(),
            nn.Linear(width * (SIDE // 16) ** 2, size),
            nn.BatchNorm1d(size),
        )

    def forward(self, faces: Tensor) -> Tensor:
        """Return [N, D]; the dot product of two is the cosine of their angle."""
        return F.normalize(self.output_layer(self.features(faces)[2]))

    def describe(self, faces: Tensor, alignment: Alignment) -> Tensor:
        """Return descriptors [N, D] of aligned faces [N, 3, R, R] in [-1, 1]."""
        found: Tensor = self(arcface_crop(faces.clamp(-1, 1), alignment))
        return found


def arcface_crop(faces: Tensor, alignment: Alignment) -> Tensor:
    """Cut the network's region out of aligned faces [N, 3, R, R]: [N, 3, 112, 112], by means over areas."""
    if faces.shape[-1] != FACE_SIDE:
        faces = F.adaptive_avg_pool2d(faces, FACE_SIDE)
    left, top, right, bottom = (round(edge * FACE_SIDE) for edge in judge_region(alignment, REGION))
    return F.adaptive_avg_pool2d(faces[:, :, max(top, 0) : bottom, max(left, 0) : right], SIDE)


def load_arcface(path: str | Path, device: torch.device) -> ArcFace:
    """Load the identity network of a torch file such as model_ir_se50.pth; raises `CheckpointError`."""
    content = read_content(Path(path))
    tensors = tensors_under(content) or tensors_under(content.get("state_dict") if isinstance(content, dict) else None)
    last = tensors.get("output_layer.3.weight")
    if last is None or last.ndim != 2 or last.shape[0] > MAX_CHANNELS:
        raise CheckpointError(f"{path}: no ArcFace IR-SE50 in it; give model_ir_se50.pth, which pSp and e4e link to")
    try:
        shape = backbone_shape(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    with torch.device("meta"):
        network = ArcFace(shape, last.shape[0])
    loaded: ArcFace = filled(network, tensors, str(path), device)
    return loaded
