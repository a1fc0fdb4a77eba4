"""The training loop: from a folder of images to a generator, with snapshots that survive anything."""

import dataclasses
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from stylegan_core.checkpoints import Description, save_snapshot
from stylegan_core.devices import pick_device
from stylegan_core.errors import DatasetError
from stylegan_core.locking import locked
from stylegan_core.metrics.evaluate import collect, generated, real_images
from stylegan_core.metrics.extractors import get_extractor
from stylegan_core.metrics.frechet import FeatureStatistics, frechet_distance
from stylegan_core.networks.projected import ProjectedDiscriminator
from stylegan_core.progress import progress_bar
from stylegan_core.training import report
from stylegan_core.training.autoencode import make_stepper
from stylegan_core.training.checks import check_config
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.dataset import DataOrder, ImageDataset
from stylegan_core.training.distributed import World, joined
from stylegan_core.training.game import Batches, batches_to
from stylegan_core.training.progressive import Growth, growth_at
from stylegan_core.training.start import build_models
from stylegan_core.training.state import has_state, load_state, save_state
from stylegan_core.training.warm import warm_start

MIN_IMAGES = 2
_LOG_LINES = 20  # between two snapshots


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run left behind."""

    snapshot: Path  # the newest
    cur_nimg: int
    finished: bool  # False: interrupted
    first: bool = True  # False: another process of the same run reports
    settings: str = ""  # what it was trained with

    @property
    def lines(self) -> list[str]:
        """What to tell the person who runs it."""
        state = "finished" if self.finished else "interrupted; the same command goes on"
        lines = [self.settings, f"{self.snapshot}: {self.cur_nimg / 1000:.3g} kimg, {state}"]
        return lines if self.first else []


def train(config: TrainConfig) -> TrainResult:
    """Train, or go on where the same command stopped; raises a `ToolkitError` for whatever keeps it from that."""
    device = pick_device(config.device)
    with joined(device) as (world, device):
        check_config(config, world.size)
        folder = Path(config.out)
        if world.rank:
            return _Run(config, folder, world, device).go()
        with locked(folder):
            return _Run(config, folder, world, device).go()


class _Run:
    """One process's view of a run."""

    def __init__(self, config: TrainConfig, folder: Path, world: World, device: torch.device) -> None:
        self.config, self.folder, self.world, self.device = config, folder, world, device
        self.data = ImageDataset(config.data, config.resolution, config.mirror, config.labels, config.cache_mb)
        if self.data.num_images < MIN_IMAGES:
            raise DatasetError(f"{config.data}: one image is no training set; give {MIN_IMAGES} or more")
        self.order = DataOrder(len(self.data), config.seed)
        models, self.alignment = build_models(config, self.data, device)
        self.stepper = make_stepper(config, models, self.data, world, device)
        self.cur_nimg, self.facts = 0, {"seconds": 0.0}
        self.real: FeatureStatistics | None = None  # of the training images, once they are asked for
        world.barrier()
        if has_state(folder):
            self.cur_nimg, self.facts = load_state(folder, config, self.stepper)
        elif config.warm_start == "pca":
            warm_start(config, self.data, self.stepper.models, device, world)
        self.started = time.monotonic() - self.facts["seconds"]

    def go(self) -> TrainResult:
        """Run to the end, or to an interrupt."""
        snapshot_nimg = self._rounded(self.config.snapshot_kimg * 1000)
        total = self._rounded(self.config.total_nimg)
        log_nimg = max(self._rounded(min(snapshot_nimg, total) / _LOG_LINES), self.config.batch)
        log = report.Log(self.folder, self.cur_nimg) if self.world.rank == 0 else None
        board = None
        if self.config.tensorboard and self.world.rank == 0:
            board = report.tensorboard_writer(self.folder, self.cur_nimg)
        snapshot = self._path("snapshot", ".safetensors")
        bar = progress_bar(show=self.world.rank == 0, total=total, initial=self.cur_nimg, unit="img")
        with bar, _interrupts() as interrupted:
            while self.cur_nimg < total:
                losses = self._step()
                bar.update(self.config.batch)
                stop = self.world.any(interrupted.is_set())
                if log is not None:
                    log.add(losses)
                    if self.cur_nimg % log_nimg == 0 or self.cur_nimg >= total or stop:
                        line = log.write(self.cur_nimg, {"seconds": round(self._seconds(), 1)})
                        bar.set_postfix({name: f"{line[name]:.3g}" for name in ("g", "d") if name in line})
                        if board is not None:
                            for name, value in line.items():
                                board.add_scalar(name, value, self.cur_nimg)
                if self.cur_nimg % snapshot_nimg == 0 or self.cur_nimg >= total or stop:
                    snapshot = self._save(log)
                if stop:
                    break
        if board is not None:
            board.close()
        self.stepper.check_end()
        described = str(self.stepper.facts()["settings"])
        return TrainResult(snapshot, self.cur_nimg, self.cur_nimg >= total, self.world.rank == 0, described)

    def _rounded(self, nimg: float) -> int:
        """A count of images as whole batches, at least one."""
        batch = self.config.batch
        return max(-(-int(nimg) // batch), 1) * batch

    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _step(self) -> dict[str, float]:
        config = self.config
        growth = None
        if hasattr(self.stepper.models.generator.synthesis, "lod"):
            growth = growth_at(self.stepper.phase_kimg, config.first_resolution, self.data.resolution, self.cur_nimg)
        batches = batches_to(self._batches(growth), self.device)
        losses = self.stepper.step(batches, self.cur_nimg // config.batch, self.cur_nimg, growth)
        self.cur_nimg += config.batch
        return losses

    def _batches(self, growth: Growth | None) -> Batches:
        indices = self.order.indices(self.cur_nimg, self.config.batch)
        batches = []
        for shard in self.stepper.shards:
            images, labels = self.data.batch(indices[shard.index :: shard.stride])
            batches.append((images if growth is None else growth.fade(images), labels))
        return batches

    def _path(self, kind: str, suffix: str) -> Path:
        """Name a file by the thousands of images seen, to the image: snapshot-000050, snapshot-000000.048."""
        rest = f".{self.cur_nimg % 1000:03d}" if self.cur_nimg % 1000 else ""
        return self.folder / f"{kind}-{self.cur_nimg // 1000:06d}{rest}{suffix}"

    def _save(self, log: report.Log | None) -> Path:
        """Write snapshot, samples, curve, and last the state: whatever ends the run, the state has its snapshot."""
        path = self._path("snapshot", ".safetensors")
        if log is not None:
            self.facts |= {"seconds": self._seconds()}
            self._score(log)
            models = self.stepper.models
            networks = {"G_ema": models.average}
            if not isinstance(models.discriminator, (ProjectedDiscriminator, type(None))):
                networks["D"] = models.discriminator
            save_snapshot(path, networks, Description(self.alignment, training=self._about()))
            labels = torch.from_numpy(self.data.labels)
            report.write_grid(self._path("samples", ".png"), models.average, self.config.seed, labels)
            report.write_curve(self.folder / report.CURVE_FILE, log.lines)
            save_state(self.folder, self.config, self.stepper, self.cur_nimg, self.facts)
        self.world.barrier()
        return path

    def _score(self, log: report.Log) -> None:
        """Measure the average generator against the training images, and note it in the log's last line."""
        if not self.config.metric_samples:
            return
        extractor = get_extractor("auto", device=self.device)
        if self.real is None:
            self.real = collect(real_images(self.data), extractor).statistics
        labels = torch.from_numpy(self.data.labels)
        samples = generated(self.stepper.models.average, self.config.metric_samples, self.config.seed, labels=labels)
        distance = frechet_distance(collect(samples, extractor).statistics, self.real)
        self.facts |= {extractor.metric: distance}
        log.amend({extractor.metric: distance})

    def _about(self) -> dict[str, Any]:
        config = self.config
        return {
            "kimg": self.cur_nimg / 1000,
            "data": Path(config.data).name,
            "num_images": self.data.num_images,
            "seconds": round(self._seconds()),
            **self.stepper.facts(),
            "scores": {name: value for name, value in self.facts.items() if name.startswith("f")},
            "options": {
                field.name: getattr(config, field.name)
                for field in dataclasses.fields(config)
                if getattr(config, field.name) != field.default and field.name not in ("data", "out")
            },
        }


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that a step is finished and saved; a second one stops at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def on_signal(number: int, frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
