"""What makes an inversion or an edit of a face doubtful, each as a sentence that says what to do."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inversion.faces.attributes import EXPRESSIONS
from inversion.faces.judges import JUDGES
from inversion.faces.landmarks import EYES, MOUTH, find_landmarks
from inversion.faces.looks import PhotoScores
from inversion.faces.measure_table import MEASURES, POSES
from inversion.faces.scales import scale
from stylegan_core.networks.protocol import Alignment

SMALL = 60  # pixels of a face's longer side
NOSE_BETWEEN = (0.12, 0.88)  # of the way from eye to eye: beyond, the face is seen from the side
NARROW = 0.62  # eye to eye against eyes to mouth; facing the camera it is about 1
ANOTHER_PERSON = 0.6  # identity distance; two people's is about 0.67 (inversion/faces/judges.py)
POOR_PSNR = 16.0  # dB
# Shares of the aligned face, from benchmarks/covered.py: about what 5 % of uncovered faces exceed.
MOUTH_APART, EYES_APART = 0.04, 0.035
FLAT = 0.13  # std of the luminance in [-1, 1] over mouth or eyes
# Of an edited photo against the photo before: what real pairs of photos and believable edits stay within, as
# `benchmarks/photo_realism.py --limits` prints (docs/editing.md).
SOMEBODY_ELSE = 0.4  # identity distance
BLURRED, ROUGH = 0.6, 2.0  # sharpness of the mouth
FOREIGN = 0.95  # Lab distance of the mouth's colours
WHOLE_STEP, LEFT_OVER = 1.0, 0.5  # a strength that should be seen; a probability at which too much is left
TURNS = {90: "lies on its side", 180: "is upside down", 270: "lies on its side"}


def doubts_of_detection(
    box: NDArray[np.float64], landmarks: NDArray[np.float64], turn: int, num_faces: int, told_which: bool
) -> list[str]:
    """Say what is doubtful of a face in its photo, before it is inverted.

    `box` [4] and `landmarks` [5, 2] are in pixels of the photo, `turn` is the angle by which the photo was turned
    before the face was found, `num_faces` how many were found, `told_which` whether the command said which it wants."""
    found = []
    if num_faces > 1 and not told_which:
        both = "both" if num_faces == 2 else f"all {num_faces}"
        larger = "larger" if num_faces == 2 else "largest"
        found.append(
            f"{num_faces} faces found; took face0, the {larger}; --faces all for {both}, --faces face0 to leave it so"
        )
    if turn:
        found.append(f"the face {TURNS[turn]} in this photo, and was found by turning it; check the result, or turn it")
    side = float(max(box[2] - box[0], box[3] - box[1]))
    if side < SMALL:
        found.append(f"the face is only {side:.0f} pixels large, under {SMALL}; take a photo that is closer or sharper")
    if seen_from_the_side(landmarks):
        found.append("the face is seen from the side, where the generator knows little; take one that faces the camera")
    return found


def seen_from_the_side(landmarks: NDArray[np.float64]) -> bool:
    """Tell from eyes, nose and mouth corners [5, 2] whether a face is turned far away from the camera."""
    left, right, nose, *corners = landmarks
    across = right - left
    width = float(np.hypot(*across))
    between = float((nose - left) @ across) / max(width**2, 1e-9)
    height = float(np.hypot(*((corners[0] + corners[1]) / 2 - (left + right) / 2)))
    return not NOSE_BETWEEN[0] <= between <= NOSE_BETWEEN[1] or width < NARROW * height


def doubts_of_inversion(target: Tensor, image: Tensor, scores: Mapping[str, Any], alignment: Alignment) -> list[str]:
    """Say what is doubtful of a render [1, 3, R, R] of the face `target` [1, 3, R, R], both in [-1, 1]."""
    found = []
    points = find_landmarks(torch.cat([target, image.clamp(-1, 1)]), alignment)  # [2, 68, 2]
    for name, part, apart in (("mouth", MOUTH, MOUTH_APART), ("eyes", EYES, EYES_APART)):
        distance = float((points[0] - points[1])[part].norm(dim=-1).mean())
        if distance > apart or contrast(target, points[0, part]) < FLAT:
            found.append(f"the {name} cannot be made out well; is something in front? (--mask leaves it out)")
    distance, closeness = scores.get("identity_distance", 0.0), scores.get("psnr", np.inf)
    if distance > ANOTHER_PERSON or closeness < POOR_PSNR:
        found.append(
            f"the inversion is far from the photo ({closeness:.1f} dB, identity distance {distance:.2f}), so edits "
            "will show another person; try more --steps, or --method tune"
        )
    return found


def doubts_of_edit(scores: PhotoScores, towards: Mapping[str, float], mode: str = "auto") -> list[str]:
    """Say what an edited photo shows that believable edits do not, or does not show of what was asked for.

    `mode` is how the face was pasted. `towards` are judges or scales and the sum of the strengths towards (+) or away
    from (-) what they see."""
    found = []
    if scores.identity_distance > SOMEBODY_ELSE:
        found.append(
            f"the edited photo shows another person (identity distance {scores.identity_distance:.2f}, photos of one "
            f"person stay within {SOMEBODY_ELSE:g}); try a smaller strength, or --keep identity"
        )
    sharpness = scores.mouth_sharpness
    if not BLURRED <= sharpness <= ROUGH:
        how = "blurred" if sharpness < BLURRED else "rough"
        found.append(f"the edited mouth is {how} ({sharpness:.2f} of the photo's sharpness); try a smaller strength")
    if scores.foreign_colour > FOREIGN:
        found.append(
            f"the edited mouth has colours that are not this face's (Lab distance {scores.foreign_colour:.2f}, "
            f"believable up to {FOREIGN:g}); try a smaller strength, or --paste motion"
        )
    turned = [name for name, strength in towards.items() if strength and name in POSES and mode == "motion"]
    for name in (name for name in turned if not _turns(scores, name, towards[name])):
        found.append(f"--paste motion keeps the head as it is, so {name} hardly changes; use --paste full, or none")
    asked = ((name, strength) for name, strength in towards.items() if name not in turned)
    hidden = [name for name, strength in asked if not _shows(scores, name, strength)]
    for name in hidden:
        found.append(
            f"the edit hardly shows in the photo ({name} {scores.before[name]:.2f} before, {scores.after[name]:.2f} "
            "after); try a larger strength"
        )
    for name, strength in towards.items():
        if name in EXPRESSIONS and strength <= -WHOLE_STEP and name not in hidden and scores.after[name] > LEFT_OVER:
            found.append(
                f"the face still looks {name} in the photo ({scores.before[name]:.2f} before, {scores.after[name]:.2f} "
                "after): its lips did not close over the teeth; take a photo in which they are closed"
            )
    return found


def _turns(scores: PhotoScores, pose: str, strength: float) -> bool:
    """Tell whether the head has turned the way it was to, by half of what does not count."""
    return (scores.after[pose] - scores.before[pose]) * np.sign(strength) >= MEASURES[pose].tolerance / 2


def _shows(scores: PhotoScores, judge: str, strength: float) -> bool:
    """Tell whether a judge sees what it was asked for, or, of an expression, whether the landmarks moved.

    Less than a whole step need not be seen; what is at the end of a probability's range cannot show more of it."""
    before, after = scores.before[judge], scores.after[judge]
    if abs(strength) < WHOLE_STEP:
        return True
    known = JUDGES[judge] if judge in JUDGES else scale(judge)
    tolerance = known.tolerance
    if (after - before) * (1 if strength > 0 else -1) >= tolerance:
        return True
    if judge not in EXPRESSIONS:
        return known.unit == "probability" and (before > 1 - tolerance if strength > 0 else before < tolerance)
    moved = (name for name, measure in MEASURES.items() if measure.expression)
    return any(abs(scores.after[name] - scores.before[name]) >= MEASURES[name].tolerance for name in moved)


def contrast(face: Tensor, points: Tensor) -> float:
    """Return the std of the luminance of a face [1, 3, R, R] in the box around points [N, 2] (x, y in 0..1)."""
    side = face.shape[-1]
    left, top = (points.amin(dim=0) * side).floor().clamp(0, side - 1).int().tolist()
    right, bottom = (points.amax(dim=0) * side).ceil().clamp(1, side).int().tolist()
    part = face[0, :, top : max(bottom, top + 1), left : max(right, left + 1)].mean(dim=0)
    return float(part.std()) if part.numel() > 1 else 0.0
