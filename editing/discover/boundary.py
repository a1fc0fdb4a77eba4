"""A direction from scored codes: a linear boundary's normal, or a regression's (InterFaceGAN, Shen et al. 2020)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import LinearSVC
from torch import Tensor

from editing.config import BoundaryConfig
from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.seeds import generator_for

MIN_EACH = 4  # codes of each class
RIDGE = 0.3  # of the regressions, in units of the number of codes


@dataclass(frozen=True)
class Boundary:
    """A fitted direction in W and how well it told the held-out codes apart."""

    step: Tensor  # [1, 1, w_dim]: unit length in standard deviations of W
    report: dict[str, Any]


def fit_boundary(w: Tensor, scores: Tensor, config: BoundaryConfig) -> Boundary:
    """Fit the direction in which `scores` [N] rise over codes w [N, w_dim].

    Scores of two values are labels. Probabilities (0..1) are cut: the `extremes` highest share against the lower half.
    Other numbers (years) are regressed on. A quarter (`split`) is held out: balanced accuracy, or correlation.
    Codes are standardised for the fit; the step is the boundary's normal in W."""
    if len(w) != len(scores):
        raise ConfigError(f"{len(w)} codes but {len(scores)} scores")
    mean, spread = w.mean(dim=0), w.std(dim=0).clamp_min(1e-8)
    x = ((w - mean) / spread).double().cpu().numpy()
    values = scores.double().cpu().numpy()
    rows, target, kind = _targets(values, config.extremes)
    order = torch.randperm(len(rows), generator=generator_for(config.seed)).numpy()
    held = max(1, round(len(rows) * config.split))
    test, train = rows[order[:held]], rows[order[held:]]
    model = _model(kind, len(train), config)
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
    return Boundary(_unit(normal / spread.cpu(), spread.cpu()), report)


def fit_margins(w: Tensor, log_probabilities: Tensor, index: int, config: BoundaryConfig) -> Boundary:
    """Fit the shortest step along which class `index` gains on every other class alike.

    A probability out of a softmax rises only as far as its class beats the strongest rival, so it is the differences
    to each rival that must grow. log_probabilities [N, K] less their mean are regressed on codes w [N, w_dim]; the
    step is min ||v|| with (b_index - b_rival) v >= 1 for all rivals, by least distance programming (Lawson & Hanson
    1974, chapter 23)."""
    mean, spread = w.mean(dim=0), w.std(dim=0).clamp_min(1e-8)
    x = ((w - mean) / spread).double().cpu().numpy()
    centred = (log_probabilities - log_probabilities.mean(dim=1, keepdim=True)).double().cpu().numpy()
    order = torch.randperm(len(x), generator=generator_for(config.seed)).numpy()
    held = max(2, round(len(x) * config.split))
    test, train = order[:held], order[held:]
    model = Ridge(alpha=RIDGE * len(train)).fit(x[train], centred[train])
    guess = model.predict(x[test])[:, index]
    normals = model.coef_ / spread.double().cpu().numpy()  # [K, w_dim], in W
    margins = np.delete(normals[index] - normals, index, axis=0)
    weights, _ = nnls(np.vstack([margins.T, np.ones(len(margins))]), np.eye(margins.shape[1] + 1)[-1])
    left = np.vstack([margins.T, np.ones(len(margins))]) @ weights - np.eye(margins.shape[1] + 1)[-1]
    if abs(left[-1]) < 1e-9:
        raise DatasetError("no step gains on every rival at once; keep fewer things, or score other codes")
    report = {
        "fit": "margins",
        "trained_on": len(train),
        "held_out": len(test),
        "held_out_correlation": float(np.corrcoef(guess, centred[test, index])[0, 1]),
    }
    return Boundary(_unit(torch.from_numpy(-left[:-1] / left[-1]).float(), spread.cpu()), report)


def _unit(step: Tensor, spread: Tensor) -> Tensor:
    """Return a step [w_dim] as [1, 1, w_dim] of unit length in standard deviations of W."""
    return (step / (step / spread).norm().clamp_min(1e-12))[None, None]


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


def _model(kind: str, count: int, config: BoundaryConfig) -> Any:
    if kind == "regression":
        return Ridge(alpha=RIDGE * count)
    if config.classifier == "svm":
        return LinearSVC(C=config.regularisation, class_weight="balanced", max_iter=20_000, random_state=config.seed)
    return LogisticRegression(C=config.regularisation, class_weight="balanced", max_iter=1000)
