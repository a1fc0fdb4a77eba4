"""The options of `evaluate`; no torch here, so that the command line can read them quickly."""

from dataclasses import dataclass

from stylegan_core.device_names import check_device
from stylegan_core.errors import ConfigError
from stylegan_core.files import check_file_place
from stylegan_core.options import option

SCORES = (
    "fd",
    "kd",
    "precision-recall",
    "is",
    "nearest",
    "high-frequency",
    "mode-count",
    "linear-probe",
    "separability",
    "ppl-w-end",
    "ppl-w-full",
    "ppl-z-end",
    "ppl-z-full",
)
SHORT = {"pr": "precision-recall"}  # other names
WITH_DATA = frozenset({"fd", "kd", "precision-recall", "nearest", "high-frequency"})
WITH_LABELS = frozenset({"mode-count", "linear-probe"})


@dataclass(frozen=True)
class EvaluateConfig:
    """What is measured, on how many samples."""

    data: str = option("", "folder or zip of the training images, with labels for mode-count and linear-probe")
    scores: str = option("fd,kd,pr", f"which, with commas: {', '.join(SCORES)}")
    features: str = option(
        "auto",
        "fid (Inception, weights needed), fd-squeezenet (embedded), auto: fid where its weights are at hand",
        choices=("auto", "fid", "fd-squeezenet"),
    )
    weights: str = option("", "file of the Inception weights, checked by SHA-256")
    classifier: str = option(
        "", "linear classifier on the features (safetensors: weight, bias) for is, mode-count and separability"
    )
    save_classifier: str = option("", "file to write the classifier to that is trained on the labels of --data")
    sheet: str = option("", "PNG to write: samples beside their nearest training images")
    samples: int = option(5000, "generated images")
    paths: int = option(1000, "paths of a perceptual path length")
    neighbours: int = option(3, "k of precision and recall")
    psi: float = option(1.0, "truncation; scores of generators are reported at 1")
    mirror: bool = option(False, "count mirrored training images too")
    batch: int = option(32, "images at a time")
    seed: int = option(0, "of the samples")
    device: str = option("auto", "auto, cpu, cuda or mps", check=check_device)
    out: str = option("", "JSON file to write the scores to", check=check_file_place)


def parse_scores(config: EvaluateConfig) -> list[str]:
    """Read the list of scores and refuse what can not be measured."""
    wanted = [SHORT.get(name.strip(), name.strip()) for name in config.scores.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in SCORES]
    if unknown or not wanted:
        raise ConfigError(f"scores {config.scores!r}: choose from {', '.join(SCORES)}")
    lacking = [name for name in wanted if name in WITH_DATA | WITH_LABELS]
    if config.classifier and "mode-count" in lacking:
        lacking.remove("mode-count")
    if lacking and not config.data:
        raise ConfigError(f"{', '.join(lacking)}: the training images are needed: give --data, or other --scores")
    if config.samples < 2 or config.batch < 1 or config.paths < 1:
        raise ConfigError("scores need 2 samples or more, and batch and paths of 1 or more")
    return wanted
