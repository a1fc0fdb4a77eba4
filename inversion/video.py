"""A film of a face: one pivot for all frames, smooth codes around it, and the frames back in the film."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from inversion.adam import AdamRows, learning_rate_schedule
from inversion.codes import search_codes
from inversion.config import InvertConfig, ProjectionConfig, VideoConfig
from inversion.encoder import near_code, with_encoder
from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import detect_faces
from inversion.invert import Inverter
from inversion.latents import Latent, save_latent
from inversion.methods import settle
from inversion.objective import InversionObjective, LossWeights, total
from inversion.state import State, run_steps, task_signature
from inversion.statistics import w_statistics
from inversion.task import Task
from stylegan_core.console import Console
from stylegan_core.credentials import Seal
from stylegan_core.devices import fit_process
from stylegan_core.errors import ConfigError, FaceNotFoundError
from stylegan_core.films import Film, can_write_mp4, open_film, write_mp4
from stylegan_core.images import write_png
from stylegan_core.networks.protocol import Generator

NOTE = "Edited by a generative network (Invertigo): not an unaltered film."
BETAS = (0.9, 0.99)
# A frame's latent, and the frame [H, W, 3] -> what becomes of it: the frame with the face put back, or the face alone.
Change = Callable[[Latent, NDArray[np.uint8]], NDArray[np.uint8]]


def invert_video(
    source: str, out: str, config: VideoConfig, invert: InvertConfig, projection: ProjectionConfig,
    find_change: Callable[[Inverter], tuple[Change, Seal | None]], console: Console,
) -> None:  # fmt: skip
    """Invert the largest face of a film (or of a folder of frames); write its latents and the film with it put back.

    `find_change(inverter)` gives the edit, and what signs the film; interrupted and run again, it goes on. The film is
    decoded three times over rather than kept: to find the face, to cut it out, and to put it back."""
    refuse_features(projection)
    inverter = Inverter(invert, projection)
    generator, folder = inverter.generator, Path(out)
    fit_process(generator.img_resolution)
    (change, seal), film = find_change(inverter), open_film(source, config.fps, config.frames)
    quads = smooth_quads(follow_face(film, inverter, console), config.smooth_quads)
    pairs = zip(film.frames(), quads, strict=True)
    targets = torch.cat([align_face(frame, quad, generator.img_resolution) for frame, quad in pairs])
    targets = targets.to(generator.w_avg.device)
    if generator.img_channels == 1:
        targets = targets.mean(dim=1, keepdim=True)
    task = Task(generator, targets, inverter.perceptual, projection, state_file=folder / ".video-state")
    ws = invert_frames(task, config, invert.encoder, console)
    near = codes_near_w(generator, targets, config, invert.encoder)
    latents = []
    for index, code in enumerate(ws.cpu().split(1)):
        own = None if near is None else near[index : index + 1]
        report = {"generator": generator.meta.name}
        quad = quads[index]
        latents.append(Latent(code, code, generator=generator.meta.fingerprint, quad=quad, report=report, near=own))
        save_latent(folder / "latents" / f"{index:05d}.npz", latents[index])
    frames = (change(latent, frame) for latent, frame in zip(latents, film.frames(), strict=True))
    told = write_film(folder, film, frames, seal)
    console.say(f"{folder}: {len(quads)} frames{told}")


def refuse_features(config: ProjectionConfig) -> None:
    """Refuse `--space f`; raises `ConfigError`."""
    if config.space == "f":
        raise ConfigError("--space f corrects the features of one picture, not of a film's frames; use --space w+")


def codes_alone(config: ProjectionConfig, generator: Generator) -> ProjectionConfig:
    """Return the options of a search for what a film's frames share, which is codes and nothing beside them."""
    space = "w+" if config.space == "auto" else config.space
    return settle(replace(config, space=space, optimise_noise=False), "project", generator)


def follow_face(film: Film, inverter: Inverter, console: Console) -> list[NDArray[np.float64]]:
    """Return the quad [4, 2] of the film's face in each frame: the largest at first, then the one nearest to it.

    A frame in which no face is found takes the place of the frame before."""
    quads: list[NDArray[np.float64] | None] = []
    centre: NDArray[np.float64] | None = None
    with console.progress("faces", film.num_frames) as progress:
        for index, frame in enumerate(film.frames()):
            found = [face_quad(face.landmarks, inverter.generator.meta.alignment) for face in detect_faces(frame)]
            if found and centre is not None:
                near = centre
                found.sort(key=lambda quad: float(np.linalg.norm(quad.mean(axis=0) - near)))
            quads.append(found[0] if found else None)
            centre = found[0].mean(axis=0) if found else centre
            progress(index + 1, 0.0)
    known = [index for index, quad in enumerate(quads) if quad is not None]
    if not known:
        raise FaceNotFoundError("no face in any frame of the film; give one in which a face is seen")
    nearest = [max((k for k in known if k <= index), default=known[0]) for index in range(len(quads))]
    return [quad for index in nearest if (quad := quads[index]) is not None]


def smooth_quads(quads: Sequence[NDArray[np.float64]], sigma: float) -> list[NDArray[np.float64]]:
    """Return the quads [4, 2] smoothed over time by a Gaussian of `sigma` frames (0: as they are)."""
    stacked = np.stack(quads)
    return list(gaussian_filter1d(stacked, sigma, axis=0, mode="nearest") if sigma > 0 else stacked)


def codes_near_w(generator: Generator, targets: Tensor, config: VideoConfig, encoder: str) -> Tensor | None:
    """Return the encoder's codes [T, num_ws, w_dim] of frames [T, C, R, R], smoothed over time as their places are;
    None without an encoder. The motion of an edit is looked up there, as it is in photos."""
    found = [near_code(generator, frames, encoder) for frames in targets.split(config.chunk)]
    codes = [code for code in found if code is not None]
    if not codes:
        return None
    stacked = torch.cat(codes)
    if config.smooth_quads == 0:
        return stacked
    smooth = gaussian_filter1d(stacked.numpy(), config.smooth_quads, axis=0, mode="nearest")
    return torch.from_numpy(smooth)


def invert_frames(task: Task, config: VideoConfig, encoder: str, console: Console) -> Tensor:
    """Return codes [T, num_ws, w_dim] of consecutive frames [T, C, R, R]: a shared pivot, and steps from it that change
    slowly over time."""
    refuse_features(task.config)
    task = replace(task, config=codes_alone(task.config, task.generator))
    assert task.state_file is not None
    middle = task.targets[len(task.targets) // 2 :][:1]
    pivot_file = task.state_file.with_name(f"{task.state_file.name}.pivot")
    with console.progress("pivot", task.config.steps) as progress:
        one = replace(task, targets=middle, state_file=pivot_file, keep_state=True)
        pivot = search_codes(with_encoder(replace(one, progress=progress), encoder)).ws
    search = _Frames(task, config, pivot)
    total = config.passes * search.num_chunks
    with console.progress("frames", total) as progress:
        signature = task_signature(task, f"video {config}")
        run_steps(search, total, progress, task.state_file, signature)
    for file in (pivot_file, task.state_file):
        file.unlink(missing_ok=True)
    return search.codes()


class _Frames:
    """Adam on all frames' steps from the pivot, some neighbouring frames at a time."""

    def __init__(self, task: Task, config: VideoConfig, pivot: Tensor) -> None:
        self.task, self.video, self.pivot = task, config, pivot
        self.w_std = w_statistics(task.generator)[1]
        self.num_chunks = -(-len(task.targets) // config.chunk)
        self.steps = torch.zeros(len(task.targets), *pivot.shape[1:]).to(pivot)  # in units of the std of W
        self.adam = AdamRows(self.steps, BETAS)
        weights = replace(LossWeights.of(task.config), identity=0.0, noise=0.0)
        self.objective = InversionObjective(task.generator.synthesis, weights, task.perceptual, self.w_std)

    def codes(self) -> Tensor:
        return self.pivot + self.steps * self.w_std

    def step(self, step: int) -> float:
        turn, number = divmod(step, self.num_chunks)
        first = number * self.video.chunk
        rows = slice(first, min(first + self.video.chunk, len(self.steps)))
        chunk = self.steps[rows].clone().requires_grad_(True)
        target = self.objective.target(self.task.targets[rows])
        loss = total(self.objective.terms(self.pivot + chunk * self.w_std, target))
        (gradient,) = torch.autograd.grad(loss.sum() + self.video.temporal * self._roughness(chunk, rows), chunk)
        lr = self.task.config.lr * learning_rate_schedule(turn, self.video.passes)
        self.adam.advance(rows, gradient, lr, turn)
        return float(loss.detach().mean())

    def _roughness(self, chunk: Tensor, rows: slice) -> Tensor:
        """Return the summed squared step between neighbouring frames, the fixed ones at the chunk's ends included."""
        before = self.steps[max(rows.start - 1, 0) : rows.start]
        after = self.steps[rows.stop : rows.stop + 1]
        path = torch.cat([before, chunk, after])
        return (path[1:] - path[:-1]).square().mean(dim=(1, 2)).sum()

    def finished(self) -> bool:
        return False

    def state(self) -> State:
        return {"steps": self.steps, "first": self.adam.first, "second": self.adam.second}, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        for name, tensor in self.state()[0].items():
            tensor.copy_(tensors[name])


def write_film(folder: Path, film: Film, images: Iterable[NDArray[np.uint8]], seal: Seal | None = None) -> str:
    """Write the images as frames, and as MP4 with the film's sound where imageio-ffmpeg is installed; say what was.

    `seal` signs the MP4."""

    def kept() -> Iterator[NDArray[np.uint8]]:
        for index, image in enumerate(images):
            write_png(folder / "frames" / f"{index:05d}.png", image, NOTE)
            yield image

    if not can_write_mp4():
        for _ in kept():
            pass
        return f" in {folder / 'frames'}; install imageio-ffmpeg for an MP4 as well"
    write_mp4(folder / "video.mp4", kept(), film.fps, NOTE, film.source if film.has_sound else None, seal)
    return f", {folder / 'video.mp4'}"
