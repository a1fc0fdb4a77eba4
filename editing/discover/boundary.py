"""A direction from scored codes: a linear boundary's normal, or a regression's (InterFaceGAN, Shen et al. 2020)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import LinearSVC
from torch import Tensor

from editing.config import BoundaryConfig
from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.seeds import generator_for

MIN_EACH = 4  # codes of each class


@dataclass(frozen=True)
class Boundary:
    """A fitted direction in W and how well it told the held-out codes apart."""

    step: Tensor  # [1, 1, w_dim]: unit length in standard deviations of W
    report: dict[str, Any]


def fit_boundary(w: Tensor, scores: Tensor, config: BoundaryConfig) -> Boundary:
    """Fit the direction in which `scores` [N] rise over codes w [N, w_dim].

    Scores of two values are labels. Probabilities (0..1) are cut: the `extremes` highest share against the lower half.
    Other numbers (years) are regressed on. A quarter (`split`) is held out: balanced accuracy, or correlation.
    Codes are standardised first, and the normal is taken back as a step along the data: sd * normal, so that a
    dimension in which W is narrow does not move far."""
    if len(w) != len(scores):
        raise ConfigError(f"{len(w)} codes but {len(scores)} scores")
    mean, spread = w.mean(dim=0), w.std(dim=0).clamp_min(1e-8)
    x = ((w - mean) / spread).double().cpu().numpy()
    values = scores.double().cpu().numpy()
    rows, target, kind = _targets(values, config.extremes)
    order = torch.randperm(len(rows), generator=generator_for(config.seed)).numpy()
    held = max(1, round(len(rows) * config.split))
    test, train = rows[order[:held]], rows[order[held:]]
    model = _model(kind, config)
    if kind != "regression" and (len(set(target[train])) < 2 or len(set(target[test])) < 2):
        raise DatasetError("too few codes of one class to fit and test a boundary; score more codes")
    model.fit(x[train], target[train])
    guess = model.predict(x[test])
    report: dict[str, Any] = {"fit": kind, "trained_on": len(train), "held_out": len(test)}
    if kind == "regression":
        report["held_out_correlation"] = float(np.corrcoef(guess, target[test])[0, 1])
        report["held_out_mean_error"] = float(np.abs(guess - target[test]).mean())
    else:
        report["held_out_accuracy"] = float(balanced_accuracy_score(target[test], guess))
    normal = torch.from_numpy(np.asarray(model.coef_, np.float64).reshape(-1)).float()
    step = spread.cpu() * normal / normal.norm().clamp_min(1e-12)
    return Boundary(step[None, None], report)


def _targets(values: NDArray[np.float64], extremes: float) -> tuple[NDArray[Any], NDArray[np.float64], str]:
    """Return the rows to use, the target of every row, and what is fitted."""
    everything = np.arange(len(values))
    distinct = np.unique(values)
    if len(distinct) < 2:
        raise DatasetError("all codes have the same score, so there is no direction in which it rises; score others")
    if len(distinct) == 2:
        return _checked(everything, (values == distinct[1]).astype(np.float64)), (values == distinct[1]) * 1.0, "labels"
    if values.min() < 0 or values.max() > 1:
        return everything, values, "regression"
    order = np.argsort(values, kind="stable")
    top = max(MIN_EACH, round(len(values) * extremes))
    rows = np.concatenate([order[: len(values) // 2], order[-top:]])
    target = np.zeros(len(values))
    target[order[-top:]] = 1
    return _checked(rows, target), target, "extremes"


def _checked(rows: NDArray[Any], target: NDArray[np.float64]) -> NDArray[Any]:
    ones = int(target[rows].sum())
    if min(ones, len(rows) - ones) < MIN_EACH:
        raise DatasetError(f"{ones} codes with the attribute and {len(rows) - ones} without; {MIN_EACH} of each needed")
    return rows


def _model(kind: str, config: BoundaryConfig) -> Any:
    if kind == "regression":
        return Ridge(alpha=1 / config.regularisation)
    if config.classifier == "svm":
        return LinearSVC(C=config.regularisation, class_weight="balanced", max_iter=20_000, random_state=config.seed)
    return LogisticRegression(C=config.regularisation, class_weight="balanced", max_iter=1000)
