"""Who a face is, as a descriptor: by the shipped network, or by one that the user has."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.judges import identity_descriptor
from stylegan_core.models import local_file
from stylegan_core.networks.protocol import Alignment


@dataclass(frozen=True)
class Identity:
    """A network that tells people apart."""

    name: str  # empty: the shipped one
    describe: Callable[[Tensor, Alignment], Tensor]  # aligned faces [N, 3, R, R] in [-1, 1] -> descriptors [N, D]

    def similarity(self, faces: Tensor, others: Tensor, alignment: Alignment) -> Tensor:
        """Return the cosine [N] of the angle between the descriptors of two batches of aligned faces."""
        return F.cosine_similarity(self.describe(faces, alignment), self.describe(others, alignment))


SHIPPED = Identity("", identity_descriptor)


def load_identity(file: str, device: torch.device) -> Identity:
    """Return the ArcFace IR-SE50 in `file` (model_ir_se50.pth), named as generators are; the shipped one without."""
    if not file:
        return SHIPPED
    from inversion.encoders.arcface import load_arcface

    path = local_file(file)
    return Identity(path.name, load_arcface(path, device).describe)
