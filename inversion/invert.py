"""The task: a photo in, for each face a latent, its render and a report out."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inversion.config import STARTS, InvertConfig, ProjectionConfig, TuneConfig
from inversion.correction import Correction
from inversion.delta import Delta
from inversion.encoder import choose_method, find_encoder, guess_codes, near_code, need_encoder
from inversion.faces.align import align_face, face_quad, quad_side, whole_image_quad
from inversion.faces.detect import choose_faces, detect_faces_any_way_up
from inversion.faces.doubts import doubts_of_detection, doubts_of_inversion
from inversion.faces.identity import load_identity
from inversion.faces.judges import identity_distance
from inversion.latents import Latent, check_generator, load_latent
from inversion.losses import mean_squared_error, perceptual_features
from inversion.methods import METHODS, settle
from inversion.pretrained import load_pretrained, save_pretrained
from inversion.render import face_renderer
from inversion.scores import psnr
from inversion.task import Preview, Progress, Projection, Task
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.devices import fitting_threads, pick_device
from stylegan_core.errors import ConfigError, DoubtfulFaceError, LatentError
from stylegan_core.features.perceptual import PerceptualDistance, load_perceptual
from stylegan_core.images import Photo, read_photo
from stylegan_core.networks.lower import at_resolution
from stylegan_core.networks.protocol import Generator


@dataclass(frozen=True)
class AlignedFace:
    """A face cut out of a photo, ready to be inverted."""

    index: int  # 0 is the largest face of the photo
    quad: NDArray[np.float64]  # [4, 2]
    target: Tensor  # [1, C, R, R] in [-1, 1]
    probability: float  # of the detection; 1 for a picture that was not aligned
    warnings: tuple[str, ...] = ()  # what is doubtful of it


@dataclass(frozen=True)
class InvertedFace:
    """A face and the code found for it."""

    face: AlignedFace
    image: Tensor  # [1, C, R, R]: the code's render
    latent: Latent


@dataclass
class Inverter:
    """A generator, its perceptual distance and the options: load once, invert many photos.

    `config` may be the generator alone: a checkpoint's file or address, or the name of a shipped or public one. Without
    a `projection` the method takes its own number of steps, as on the command line. Raises `ToolkitError`."""

    config: InvertConfig = InvertConfig()
    projection: ProjectionConfig = None  # type: ignore[assignment]  # never None once it is made
    generator: Generator = None  # type: ignore[assignment]
    perceptual: PerceptualDistance | None = None
    tune: TuneConfig = TuneConfig()
    load_seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        began = time.perf_counter()
        if isinstance(self.config, str | Path):
            self.config = InvertConfig(generator=str(self.config))
        if self.projection is None:
            self.projection = ProjectionConfig()
        device = pick_device(self.config.device)
        if self.generator is None:
            loaded = load_generator(self.config.generator, device)
            self.generator = at_resolution(loaded, self.config.resolution)
        self.method = choose_method(self.config.method, self.generator, self.config.encoder)
        if self.perceptual is None:
            self.perceptual = load_perceptual(self.config.perceptual, device)
        self.identity = load_identity(self.config.identity, device)
        self.load_seconds = time.perf_counter() - began

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, local_files_only: bool = False, **options: Any
    ) -> "Inverter":
        """Load a folder that `save_pretrained` wrote, or OWNER/REPO on the Hugging Face hub at `revision`.

        `options` are fields of `InvertConfig` and `ProjectionConfig` (`device="cuda"`, `steps=100`), and go before what
        the folder says. Raises `ConfigError`, or `WeightsUnavailableError` where the hub does not give it."""
        found = load_pretrained(name, revision, local_files_only, **options)
        return cls(found.invert, found.projection)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write generator, encoder and options into `folder`, which `from_pretrained` and the hub take as it is."""
        save_pretrained(folder, self.generator, self.config, self.projection)

    def invert(self, photo: str | Path | Photo) -> list[InvertedFace]:
        """Find the codes of a photo's faces (the largest; `InvertConfig.faces` picks others), one search a face.

        A face has its `latent`, its render `image` [1, C, R, R] in about [-1, 1], and where it lies in the photo,
        `face`. The same photo gives the same codes as the command `invert`. Raises `ImageError` for what is no photo,
        `FaceNotFoundError` where no face is found."""
        opened = photo if isinstance(photo, Photo) else read_photo(photo)
        start = read_start(self.config.start, self.generator)
        with fitting_threads(self.generator.img_resolution):
            return [self.invert_face(opened, face, start) for face in self.align(opened)]

    def align(self, photo: Photo) -> list[AlignedFace]:
        """Cut out the faces that `config.faces` picks; raises `FaceNotFoundError`."""
        if not self.config.align:
            quad = whole_image_quad(*photo.rgb.shape[:2])
            return [self.cut_out(photo, 0, quad)]
        found = detect_faces_any_way_up(photo.rgb)
        aligned = []
        for index, face in choose_faces(found, self.config.faces, str(photo.path)).items():
            quad = face_quad(face.landmarks, self.generator.meta.alignment)
            told_which = self.config.faces != "1"
            doubts = doubts_of_detection(face.box, face.landmarks, face.turn, len(found), told_which)
            if self.config.strict:
                refuse_doubts(doubts, photo.path, index)
            aligned.append(replace(self.cut_out(photo, index, quad, face.probability), warnings=tuple(doubts)))
        return aligned

    def cut_out(self, photo: Photo, index: int, quad: NDArray[np.float64], probability: float = 1.0) -> AlignedFace:
        """Cut the face with the corners `quad` out of a photo."""
        target = align_face(photo.rgb, quad, self.generator.img_resolution).to(self.generator.w_avg.device)
        if self.generator.img_channels == 1:
            target = target.mean(dim=1, keepdim=True)
        return AlignedFace(index, quad, target, probability)

    @property
    def settled(self) -> ProjectionConfig:
        """The options of the search, with what `projection` leaves to the method."""
        return settle(self.projection, self.method, self.generator)

    def num_steps(self, num: int) -> int:
        """Return the steps, at most, of a search for `num` faces."""
        search = self.settled
        tuning = self.tune.tune_steps * num if self.method == "tune" else 0
        correcting = search.f_steps if search.space == "f" else 0
        searching = 0 if self.method == "guess" else search.steps
        return searching + tuning + correcting

    def invert_face(
        self,
        photo: Photo,
        face: AlignedFace,
        start: Latent | None = None,
        progress: Progress | None = None,
        state_file: Path | None = None,
    ) -> InvertedFace:
        """Find the code of one aligned face; an interrupted search leaves its state in `state_file` and goes on."""
        return self.invert_faces([(photo, face)], start, progress, state_file)[0]

    def invert_faces(
        self,
        faces: Sequence[tuple[Photo, AlignedFace]],
        start: Latent | None = None,
        progress: Progress | None = None,
        state_file: Path | None = None,
        preview: Preview | None = None,
    ) -> list[InvertedFace]:
        """Find the codes of several aligned faces in one search; each has its own jitter, early stop and best code.

        `progress` and `preview` are called after every step, the latter with the codes [N, num_ws, w_dim] so far."""
        began = time.perf_counter()
        targets = torch.cat([face.target for _, face in faces])
        codes, origin = self._start(targets, start)
        masks = [self._mask(photo, face) for photo, face in faces] if self.config.mask else []
        result = METHODS[self.method].search(
            Task(
                self.generator,
                targets,
                self.perceptual,
                self.settled,
                codes,
                start.noise if start else None,
                torch.cat(masks) if masks else None,
                progress,
                preview,
                state_file,
                tune=self.tune,
                curvature=self._curvature(),
                identity=self.identity,
            )
        )
        seconds = {"load": self.load_seconds, "optimise": (time.perf_counter() - began) / len(faces)}
        return [self._inverted(row, *pair, result, origin, seconds) for row, pair in enumerate(faces)]

    def found_before(self, path: Path, photo: Photo, face: AlignedFace) -> Latent | None:
        """Return the inversion of a face that an earlier run left in a latent's file, edited or not, if this one would
        find the same: photo, place, generator, method and all options are the same; else None."""
        config = self.config
        if not path.is_file() or config.start != "auto" or config.mask or config.encoder:
            return None
        try:
            latent = load_latent(path)
        except LatentError:
            return None
        latent = latent.unedited()
        report = latent.report
        tuning = report.get("tuning", {})
        same = (
            latent.photo_sha256 == photo.sha256
            and latent.generator == self.generator.meta.fingerprint
            and latent.quad is not None
            and np.allclose(latent.quad, face.quad, atol=1e-3)
            and report.get("method") == self.method
            and report.get("options") == asdict(self.settled)
            and report.get("perceptual") == (self.perceptual.name if self.perceptual else "none")
            and (tuning.get("options") == asdict(self.tune) if self.method == "tune" else not tuning)
        )
        return latent if same else None

    def _inverted(
        self, row: int, photo: Photo, face: AlignedFace, result: Projection, origin: str, seconds: dict[str, float]
    ) -> InvertedFace:
        """Render row `row` of a result and put it together with what belongs to it."""
        ws = result.ws[row : row + 1]
        maps = {name: level[row, 0].cpu() for name, level in result.noise.items()}
        noise = {name: level.to(ws.device) for name, level in maps.items()}
        delta = result.deltas[row] if result.deltas else None
        correction = result.corrections[row] if result.corrections else None
        with torch.no_grad():
            image = face_renderer(self.generator, ws, noise, delta, correction)(ws)
        report = self._report(row, photo, face, result, image, origin, seconds)
        latent = Latent(
            ws=ws.cpu(),
            origin=ws.cpu(),
            noise=maps,
            generator=self.generator.meta.fingerprint,
            space=METHODS[self.method].space or self.settled.space,
            quad=face.quad,
            photo_sha256=photo.sha256,
            report=report,
            delta=delta,
            correction=correction,
            near=near_code(self.generator, face.target, self.config.encoder),
        )
        return InvertedFace(face, image, latent)

    def _curvature(self) -> dict[str, Tensor] | None:
        """Return what the encoder knows of the loss's curvature, where the method asks for it."""
        loaded = find_encoder(self.generator, self.config.encoder) if METHODS[self.method].uses_encoder else None
        return loaded.curvature if loaded else None

    def _mask(self, photo: Photo, face: AlignedFace) -> Tensor:
        """Cut the face's part [1, 1, R, R] in [0, 1] out of the mask picture."""
        mask = read_photo(self.config.mask)
        if mask.rgb.shape != photo.rgb.shape:
            raise ConfigError(
                f"--mask {self.config.mask} is {mask.rgb.shape[1]}x{mask.rgb.shape[0]} pixels, the photo "
                f"{photo.rgb.shape[1]}x{photo.rgb.shape[0]}; a mask of the photo's size is needed"
            )
        aligned = align_face(mask.rgb, face.quad, self.generator.img_resolution).to(face.target)
        shown = aligned.mean(dim=1, keepdim=True).add(1).div(2).clamp(0, 1)
        if float(shown.sum()) < 1:
            raise ConfigError(f"--mask {self.config.mask} hides all of face{face.index}; paint what is visible white")
        return shown

    def _start(self, targets: Tensor, start: Latent | None) -> tuple[Tensor | None, str]:
        """Return the starting codes and what they are."""
        if start is not None:
            return start.ws.to(targets).expand(len(targets), -1, -1), "latent"
        if self.config.start not in STARTS:
            raise ConfigError(f"--start '{self.config.start}' is unknown; expected {', '.join(STARTS)}, or a latent")
        without = not METHODS[self.method].uses_encoder and not self.config.encoder
        if self.config.start == "w_avg" or (self.config.start == "auto" and without):
            return None, "w_avg"
        if self.config.start == "encoder":
            need_encoder(self.generator, self.config.encoder)
        guess = guess_codes(self.generator, targets, self.config.encoder)
        return guess, "w_avg" if guess is None else "encoder"

    def _report(
        self, row: int, photo: Photo, face: AlignedFace, result: Projection, image: Tensor, origin: str,
        seconds: dict[str, float],
    ) -> dict[str, Any]:  # fmt: skip
        meta, best, steps = self.generator.meta, result.best_step[row], result.num_steps[row]
        history = result.history[row]
        tuned = {name: values for name, values in history.items() if name.startswith(("tune_", "f_"))}
        terms = {name: values[best] for name, values in history.items() if name not in tuned} if steps else {}
        height, width = photo.rgb.shape[:2]
        scores, doubts = self.scores(image, face.target), []
        if self.config.align and image.shape[1] == 3:
            told = {} if self.method == "guess" else scores  # a guess is not meant to be near
            doubts = doubts_of_inversion(face.target, image, told, meta.alignment)
        return {
            "photo": {"path": str(photo.path.resolve()), "name": photo.path.stem, "width": width, "height": height},
            "face": {
                "index": face.index,
                "probability": round(face.probability, 4),
                "side": round(quad_side(face.quad), 1),
            },
            "generator": meta.name,
            "generator_fingerprint": meta.fingerprint,
            "method": self.method,
            "start": origin,
            "perceptual": self.perceptual.name if self.perceptual else "none",
            **({"identity": self.identity.name} if self.identity.name else {}),
            "options": asdict(self.settled),
            "steps_taken": steps,
            "best_step": best,
            "stopped_early": 0 < steps < self.settled.steps,
            "loss_terms": terms,
            "loss": sum(terms.values()) if terms else None,
            "scores": scores,
            "warnings": [*face.warnings, *doubts],
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            **({"z": result.z[row].tolist()} if result.z is not None else {}),
            **({"tuning": self._tuning_report(result.deltas[row], tuned)} if result.deltas else {}),
            **({"features": self._features_report(result.corrections[row], tuned)} if result.corrections else {}),
        }

    def _features_report(self, correction: Correction, history: dict[str, list[float]]) -> dict[str, Any]:
        last = {name.removeprefix("f_"): values[-1] for name, values in history.items()}
        steps = sum(map(len, history.values()))
        return {"layer": correction.layer, "steps_taken": steps, "bytes": correction.num_bytes, **last}

    def _tuning_report(self, delta: Delta, history: dict[str, list[float]]) -> dict[str, Any]:
        last = {name.removeprefix("tune_"): values[-1] for name, values in history.items()}
        steps = len(next(iter(history.values()), []))
        return {"options": asdict(self.tune), "steps_taken": steps, "bytes": delta.num_bytes, **last}

    def scores(self, image: Tensor, target: Tensor) -> dict[str, float]:
        """Compare a render with its target, both [1, C, R, R] in [-1, 1]: PSNR in dB of images clipped to [-1, 1]."""
        image = image.clamp(-1, 1)
        scores = {"mse": float(mean_squared_error(image, target)), "psnr": float(psnr(image, target))}
        with torch.no_grad():
            if self.perceptual:
                features = perceptual_features(self.perceptual, torch.cat([image, target]))
                halves = [layer[:1] for layer in features], [layer[1:] for layer in features]
                scores[f"perceptual_{self.perceptual.name}"] = float(self.perceptual.between(*halves))
            if image.shape[1] == 3:
                alignment = self.generator.meta.alignment
                scores["identity_distance"] = float(identity_distance(image, target, alignment))
                if self.identity.name:
                    scores["identity_similarity"] = float(self.identity.similarity(image, target, alignment))
        return scores


def refuse_doubts(doubts: Sequence[str], source: str | Path, index: int) -> None:
    """Raise `DoubtfulFaceError` for what is doubtful of a face, if anything is."""
    if doubts:
        raise DoubtfulFaceError(f"{source}: face{index}: {'; '.join(doubts)} (refused, since --strict is on)")


def read_start(text: str, generator: Generator) -> Latent | None:
    """Read `--start FILE` as a latent of this generator; None for the names in `STARTS`."""
    if text in STARTS:
        return None
    latent = load_latent(text)
    check_generator(latent, generator, text)
    return latent
