"""Where a mouth lies in a face, and the picture of it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.landmarks import LEFT_CORNER, RIGHT_CORNER
from inversion.faces.motion import Points


@dataclass(frozen=True)
class MouthFrame:
    """The frame of a mouth: x to its right corner and y down, in its widths, from the middle between its corners."""

    middle: Points  # [2], in units of the face, as all places outside
    axes: Points  # [2, 2]: right and down
    width: float

    @classmethod
    def of(cls, points: Points) -> "MouthFrame":
        """Return that of landmarks [68, 2]."""
        return cls.between(points[[LEFT_CORNER, RIGHT_CORNER]])

    @classmethod
    def between(cls, corners: Points) -> "MouthFrame":
        """Return that of corners [2, 2], the left one in the picture first."""
        width = max(float(np.linalg.norm(corners[1] - corners[0])), 1e-6)
        along = (corners[1] - corners[0]) / width
        return cls(corners.mean(axis=0), np.stack([along, [-along[1], along[0]]]), width)

    def inside(self, places: Points) -> Points:
        """Return places [..., 2] of the face in the frame."""
        result: Points = (places - self.middle) @ self.axes.T / self.width
        return result

    def outside(self, places: Points) -> Points:
        """Return places [..., 2] of the frame in the face."""
        result: Points = self.middle + places * self.width @ self.axes
        return result


@dataclass(frozen=True)
class MouthPicture:
    """The size of a picture of a mouth, and what it shows."""

    columns: int
    rows: int
    width: float  # in widths of the mouth, as the height
    height: float
    above: float  # what share of the height lies above the corners

    def across(self) -> Points:
        """Return where the middles of the columns lie in the frame, [columns]."""
        result: Points = ((np.arange(self.columns) + 0.5) / self.columns - 0.5) * self.width
        return result

    def down(self) -> Points:
        """Return where the middles of the rows lie in the frame, [rows]."""
        result: Points = ((np.arange(self.rows) + 0.5) / self.rows - self.above) * self.height
        return result

    def places(self) -> Points:
        """Return where the pixels lie in the frame, [rows, columns, 2]."""
        return np.stack(np.meshgrid(self.across(), self.down()), axis=-1)

    def of(self, face: Tensor, frame: MouthFrame) -> Tensor:
        """Return the picture [1, 3, rows, columns] of the mouth of a face [1, 3, R, R]."""
        grid = torch.from_numpy(frame.outside(self.places())).float()[None] * 2 - 1
        return F.grid_sample(face, grid, mode="bicubic", padding_mode="border", align_corners=False)
