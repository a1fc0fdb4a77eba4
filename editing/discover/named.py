"""Directions of what a data set's own words say of its photos, and a judge fitted to find the same in renders."""

from dataclasses import dataclass

import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from inversion.encoder import find_encoder, guess_w
from inversion.faces.judges import Judge
from inversion.losses import perceptual_features
from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.features.perceptual import PerceptualDistance, load_perceptual
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.progress import progress_bar
from stylegan_core.training.dataset import ImageDataset, left_out, names_in

BATCH = 16
GRID = 4  # places a side that features are averaged over, so that it counts where something is seen
CLEAR = 0.7  # of the difference of the photos
ALPHAS, FOLDS = (0.03, 0.3, 3.0), 5  # strengths of the ridge, a feature
MIN_NAMED = 2 * FOLDS


@dataclass(frozen=True)
class NamedFaces:
    """Faces of a data set, their codes, and which of them have what was named."""

    w: Tensor  # [N, w_dim]: the encoder's codes
    named: Tensor  # [N] of 0 and 1
    features: Tensor  # [N, D] of the photos


def named_faces(generator: Generator, data: str, words: str, exclude: str = "", holdout: int = 0) -> NamedFaces:
    """Read aligned faces whose attributes.csv has a column `condition`; those that name one of `words` are named."""
    if find_encoder(generator) is None:
        raise ConfigError(f"no encoder for {generator.meta.name} is shipped; give a CSV of latents as --labels")
    images = ImageDataset(data, generator.img_resolution)
    rows = images.attributes()
    if not any("condition" in row for row in rows.values()):
        raise DatasetError(f"{data}: no attributes.csv with a column `condition`; give a CSV of labels as --labels")
    wanted = [word.lower() for word in names_in(words)]
    persons, perceptual = names_in(exclude), load_perceptual("auto", generator.w_avg.device)
    kept = [i for i, name in enumerate(images.files.names) if not left_out(rows.get(name, {}), i, persons, holdout)]
    codes, named, features = [], [], []
    for start in progress_bar(range(0, len(kept), BATCH), desc="faces", leave=False):
        part = kept[start : start + BATCH]
        photos = torch.cat([images.batch([index])[0] for index in part]).to(generator.w_avg.device)
        codes.append(guess_w(generator, photos))
        features.append(pooled(perceptual, photos))
        conditions = [rows.get(images.files.names[index], {}).get("condition", "").lower() for index in part]
        named += [float(any(word in text for word in wanted)) for text in conditions]
    if not MIN_NAMED <= sum(named) <= len(named) - MIN_NAMED:
        raise DatasetError(
            f"{data}: {sum(named):.0f} of {len(named)} faces name {words}; {MIN_NAMED} with and without are needed"
        )
    return NamedFaces(torch.cat(codes), torch.tensor(named), torch.cat(features))


@torch.no_grad()
def pooled(perceptual: PerceptualDistance, faces: Tensor) -> Tensor:
    """Return perceptual features averaged over GRID x GRID places, [N, D]."""
    levels = perceptual_features(perceptual, faces)[-3:]
    return torch.cat([torch.nn.functional.adaptive_avg_pool2d(level, GRID).flatten(1) for level in levels], dim=1)


def fitted_judge(faces: NamedFaces, device: torch.device) -> tuple[Judge, float]:
    """Fit a ridge regression to the photos; return it as a judge of renders, and its area under the ROC curve.

    The judge's 0 is the mean face without what is named, its 1 the mean face with it. Both, and the area, are taken on
    faces that the regression has not seen (in five parts)."""
    x, named = faces.features.double().cpu().numpy(), faces.named.numpy()
    best = None
    for alpha in ALPHAS:
        model = make_pipeline(StandardScaler(), Ridge(alpha=alpha * x.shape[1]))
        said = cross_val_predict(model, x, named, cv=StratifiedKFold(FOLDS, shuffle=True, random_state=0))
        area = float(roc_auc_score(named, said))
        if best is None or area > best[0]:
            best = area, model, said
    assert best is not None
    area, model, said = best
    model.fit(x, named)
    without, gap = float(said[named == 0].mean()), float(said[named == 1].mean() - said[named == 0].mean())
    if gap <= 0:
        raise DatasetError("photos with and without what is named look the same to the features; name something else")
    weight = torch.from_numpy(model[1].coef_ / model[0].scale_).float().to(device)
    bias = float(model[1].intercept_ - (model[1].coef_ / model[0].scale_) @ model[0].mean_)
    perceptual = load_perceptual("auto", device)

    def score(images: Tensor, alignment: Alignment) -> Tensor:
        return (pooled(perceptual, images) @ weight + bias - without) / gap

    return Judge(score, "of the difference that named photos have", 0.1, CLEAR), area
