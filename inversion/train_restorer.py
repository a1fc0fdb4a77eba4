"""Train the restorer: from what a paste makes of a face, coarse and off in colour, to the face as it was; or, for
teeth, from a sketch of them."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from inversion.adam import learning_rate_schedule
from inversion.config import RestorerConfig
from inversion.encoder import guess_codes
from inversion.faces.blend import set_in
from inversion.faces.restore import Restorer, load_restorer, save_restorer
from inversion.state import State, pack_streams, run_steps, unpack_streams
from inversion.teeth_examples import TeethExamples
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError
from stylegan_core.features.perceptual import load_perceptual
from stylegan_core.images import labelled_grid, to_uint8, write_png
from stylegan_core.networks.protocol import Generator
from stylegan_core.ops.resample import resized
from stylegan_core.seeds import generator_for
from stylegan_core.training.checks import check_data
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.ema import update

STREAM, HELD_OUT_STREAM = 1 << 26, 1 << 27
RENDERED = 0.6  # share of the inputs that a render is set into; the others are the photo's own pixels, made coarse
PLACES = ((0.5, 0.71, 0.7), (0.35, 0.44, 0.1), (0.65, 0.44, 0.1))  # mouth and eyes: x, y, share of the crops
ZOOM = (0.75, 1.3)  # of a crop, in crop sides
COARSE = (1.0, 3.0)  # factor by which pixels are made coarse, each axis by itself
CRITIC_WIDTHS = (32, 64, 128, 128)
EMA = 0.995
BETAS = (0.5, 0.99)


def train_restorer(out: str, generator_name: str, config: RestorerConfig, console: Console) -> None:
    """Train a restorer on faces and write it to `out`; run again after an interruption, it goes on.

    Beside it, `OUT.png` shows held-out crops: what it is given, what it makes of that, and the truth."""
    check_data(config.data)
    data = ImageDataset(config.data, exclude=config.exclude)
    if not 0 < config.holdout < data.num_images or config.crop % 8 or not 32 <= config.crop <= data.resolution:
        raise ConfigError(
            f"--holdout {config.holdout} and --crop {config.crop} do not fit {data.num_images} images of "
            f"{data.resolution} pixels; expected images on both sides, and a multiple of 8 from 32 on"
        )
    generator = load_generator(generator_name)
    state, about = Path(out).with_name(f".{Path(out).name}.state"), asdict(config)
    search = _RestorerTraining(examples_of(generator, data, config, console), config)
    signature = {**about, "generator": generator.meta.fingerprint, "torch": torch.__version__}
    with console.progress("restorer", config.steps) as progress:
        digest = hashlib.sha256(json.dumps(signature, sort_keys=True).encode()).hexdigest()
        run_steps(search, config.steps, progress, state, digest)
    scores = search.scores()
    save_restorer(out, search.average, {"options": {**about, "data": Path(config.data).name}, "scores": scores})
    write_png(Path(f"{out}.png"), search.sheet(10))
    state.unlink(missing_ok=True)
    console.say(f"{out}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))


def examples_of(
    generator: Generator, data: ImageDataset, config: RestorerConfig, console: Console
) -> "Examples | TeethExamples":
    """Return what teaches what `config.what` names."""
    if config.what == "teeth":
        return TeethExamples(data, generator.meta.alignment, config, console)
    return Examples(generator, data, config)


class _RestorerTraining:
    """Adam on the restorer and its critic: L1 in the mask, the perceptual distance, and a hinge on patches."""

    def __init__(self, examples: "Examples | TeethExamples", config: RestorerConfig) -> None:
        self.config, self.examples = config, examples
        self.perceptual = load_perceptual("squeeze-uncalibrated")
        torch_state = torch.get_rng_state()
        torch.manual_seed(config.seed)  # the layers' own initialisation draws from the global stream, which is put back
        self.network, self.average = Restorer(what=config.what), Restorer(what=config.what)
        self.critic = _critic()
        torch.set_rng_state(torch_state)
        if config.init:
            self.network, self.average = (load_restorer(config.init).requires_grad_(True) for _ in range(2))
            self.network.what = self.average.what = config.what
        self.average.load_state_dict(self.network.state_dict())
        self.optimizers = [
            torch.optim.Adam(part.parameters(), lr=config.lr, betas=BETAS) for part in (self.network, self.critic)
        ]
        self.stream = generator_for(config.seed, STREAM)

    def step(self, step: int) -> float:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr * learning_rate_schedule(step, self.config.steps)
        given, masks, truth = self.examples.draw(self.config.batch, self.stream)
        restored = self.network(given, masks)
        loss = self._distance(restored, masks, truth)
        total = loss
        if step >= self.config.adversarial_from:
            verdict = -self.critic(torch.cat([restored, masks], dim=1)).mean()
            total = loss + self._balanced(loss, verdict) * verdict
        self.optimizers[0].zero_grad(set_to_none=True)
        total.backward()
        self.optimizers[0].step()
        self._judge(truth, restored.detach(), masks)
        update(self.average, self.network, min(EMA, (step + 1) / (step + 10)))
        return float(loss.detach())

    def _distance(self, restored: Tensor, masks: Tensor, truth: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.perceptual.features(truth)
        difference = ((restored - truth).abs() * masks).sum() / masks.sum() / 3
        return difference + self.perceptual.between(self.perceptual.features(restored), wanted).mean()

    def _balanced(self, loss: Tensor, verdict: Tensor) -> Tensor:
        """Return the weight at which the critic pulls at the last layer by a share of what the distance does.

        The adaptive weight of VQGAN (Esser et al. 2021, eq. 7): a critic that wins cannot run away with the picture."""
        last = self.network.residual.weight
        pulls = [torch.autograd.grad(part, last, retain_graph=True)[0].norm() for part in (loss, verdict)]
        return (self.config.adversarial * pulls[0] / (pulls[1] + 1e-6)).clamp(0, 1).detach()

    def _judge(self, truth: Tensor, restored: Tensor, masks: Tensor) -> None:
        self.critic.requires_grad_(True)
        real, false = self.critic(torch.cat([torch.cat([truth, restored]), torch.cat([masks, masks])], dim=1)).chunk(2)
        self.optimizers[1].zero_grad(set_to_none=True)
        (F.relu(1 - real).mean() + F.relu(1 + false).mean()).backward()
        self.optimizers[1].step()
        self.critic.requires_grad_(False)

    def finished(self) -> bool:
        return False

    def state(self) -> State:
        tensors = {"streams": pack_streams([self.stream])}
        for name, part in self._parts().items():
            tensors |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, values in optimizer.state_dict()["state"].items():
                tensors |= {f"adam.{number}.{index}.{key}": value for key, value in values.items()}
        return tensors, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict({key: tensors[f"{name}.{key}"] for key in part.state_dict()})
        for number, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith(f"adam.{number}."):
                    _, _, index, key = name.split(".")
                    state.setdefault(int(index), {})[key] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        unpack_streams([self.stream], tensors["streams"])

    def _parts(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.average, "critic": self.critic}

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """Return the distances of held-out crops to the truth, as they are given and restored."""
        given, masks, truth = self.examples.draw(48, generator_for(self.config.seed, HELD_OUT_STREAM), held_out=True)
        restored = torch.cat([self.average(*part) for part in zip(given.split(8), masks.split(8), strict=True)])
        pictures = {"given": given, "restored": restored}
        return {name: float(self._distance(picture, masks, truth)) for name, picture in pictures.items()}

    @torch.no_grad()
    def sheet(self, num: int) -> Any:
        """Draw held-out crops: given, restored, truth."""
        given, masks, truth = self.examples.draw(num, generator_for(self.config.seed, HELD_OUT_STREAM), held_out=True)
        shown = [part.clamp(-1, 1) for part in (given, self.average(given, masks), truth)]
        side = max(truth.shape[2:])
        square = [0, side - truth.shape[3], 0, side - truth.shape[2]]
        rows = [list(to_uint8(F.pad(part, square, value=1.0))) for part in shown]
        return labelled_grid(rows, [""] * num, ["given", "restored", "truth"], side)


class Examples:
    """Crops of sharp faces, a part of which is what a paste would make of it."""

    def __init__(self, generator: Generator, data: ImageDataset, config: RestorerConfig) -> None:
        self.generator, self.data, self.crop, self.holdout = generator, data, config.crop, config.holdout
        self.renders: dict[int, Tensor] = {}  # uint8 [C, R, R] by image

    def draw(self, num: int, stream: torch.Generator, held_out: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures [num, 3, S, S], masks [num, 1, S, S] of their coarse part, and the truth [num, 3, S, S]."""
        first, last = (self.data.num_images - self.holdout, self.data.num_images) if held_out else (
            0, self.data.num_images - self.holdout)  # fmt: skip
        given, masks, truths = [], [], []
        for index in torch.randint(first, last, (num,), generator=stream).tolist():
            box, mirrored = self._box(stream), float(torch.rand((), generator=stream)) < 0.5
            image = self.data.batch([index])[0].expand(-1, 3, -1, -1)
            truth = self._cut(image, box, mirrored)
            mask = self._mask(stream)
            if float(torch.rand((), generator=stream)) < RENDERED:
                content = tinted(self._cut(self._render(index, image), box, mirrored), stream, 0.5)
                content = set_in(truth, content, mask)
            else:
                content = tinted(coarsened(truth, stream), stream, 1.0)
            given.append(truth + mask * (content.clamp(-1, 1) - truth))
            masks.append(mask)
            truths.append(truth)
        return torch.cat(given), torch.cat(masks), torch.cat(truths)

    def _box(self, stream: torch.Generator) -> tuple[int, int, int]:
        """Choose a square (left, top, side) of the face: most often the mouth's."""
        pick, zoom, x, y = torch.rand(4, generator=stream).tolist()
        side = min(self.data.resolution, round(self.crop * (ZOOM[0] + (ZOOM[1] - ZOOM[0]) * zoom)))
        centre = (0.25 + x / 2, 0.25 + y / 2)  # anywhere
        for place_x, place_y, share in PLACES:
            if pick < share:
                centre = (place_x + (x - 0.5) * 0.12, place_y + (y - 0.5) * 0.12)
                break
            pick -= share
        left, top = (
            min(max(round(c * self.data.resolution - side / 2), 0), self.data.resolution - side) for c in centre
        )
        return left, top, side

    def _cut(self, image: Tensor, box: tuple[int, int, int], mirrored: bool) -> Tensor:
        left, top, side = box
        part = image[:, :, top : top + side, left : left + side]
        part = F.interpolate(part, size=(self.crop, self.crop), mode="bicubic", antialias=True, align_corners=False)
        return (part.flip(3) if mirrored else part).clamp(-1, 1)

    @torch.no_grad()
    def _render(self, index: int, image: Tensor) -> Tensor:
        """Return the generator's picture of an image, from the encoder's code, enlarged to the image's size."""
        if index not in self.renders:
            small = resized(image, self.generator.img_resolution)
            codes = guess_codes(self.generator, small)
            if codes is None:
                raise ConfigError(f"no encoder ships for {self.generator.meta.name}; use a generator that has one")
            self.renders[index] = torch.from_numpy(to_uint8(self.generator.synthesis(codes).expand(-1, 3, -1, -1)))
        render = self.renders[index].permute(0, 3, 1, 2).float() / 127.5 - 1
        return F.interpolate(render, size=image.shape[2:], mode="bicubic", align_corners=False)

    def _mask(self, stream: torch.Generator) -> Tensor:
        """Draw one or two soft ellipses."""
        steps = (torch.arange(self.crop) + 0.5) / self.crop
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        mask = torch.zeros(self.crop, self.crop)
        for _ in range(1 + int(torch.randint(2, (), generator=stream))):
            u = torch.rand(6, generator=stream)
            centre_x, centre_y = 0.3 + 0.4 * u[0], 0.3 + 0.4 * u[1]
            radius_x, radius_y = 0.1 + 0.3 * u[2], 0.06 + 0.26 * u[3]
            angle, steepness = u[4] - 0.5, 3 + 12 * u[5]
            across = (x - centre_x) * angle.cos() + (y - centre_y) * angle.sin()
            along = (y - centre_y) * angle.cos() - (x - centre_x) * angle.sin()
            depth = 1 - ((across / radius_x).square() + (along / radius_y).square()).sqrt()
            mask = torch.maximum(mask, (depth * steepness).sigmoid())
        return mask[None, None]


def coarsened(images: Tensor, stream: torch.Generator) -> Tensor:
    """Return images [N, 3, S, S] with less detail, each axis by its own factor, as where pixels were pulled apart."""
    side = images.shape[-1]
    factors = COARSE[0] + (COARSE[1] - COARSE[0]) * torch.rand(2, generator=stream)
    small = [max(16, round(side / float(factor))) for factor in factors]
    coarse = F.interpolate(images, size=small, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)


def tinted(images: Tensor, stream: torch.Generator, amount: float) -> Tensor:
    """Return images [N, 3, S, S] with smooth errors of light and colour, and sometimes a little noise."""
    light, colour = torch.randn(1, 1, 3, 3, generator=stream), torch.randn(1, 3, 3, 3, generator=stream)
    errors = amount * 0.05 * (light + colour)
    smooth = F.interpolate(errors, size=images.shape[2:], mode="bicubic", align_corners=False)
    noise = torch.rand((), generator=stream) * 0.03 * torch.randn(images.shape, generator=stream)
    gain = 1 + amount * 0.06 * torch.randn((), generator=stream)
    return images * gain + smooth + noise


def _critic() -> nn.Module:
    """Return a critic of patches (Isola et al. 2017) of pictures with their masks, spectrally normalised."""
    first, second, third, last = CRITIC_WIDTHS
    return nn.Sequential(
        spectral_norm(nn.Conv2d(4, first, 4, 2, 1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(first, second, 4, 2, 1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(second, third, 4, 2, 1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(third, last, 3, 1, 1)), nn.LeakyReLU(0.2),
        nn.Conv2d(last, 1, 3, 1, 1),
    ).requires_grad_(False)  # fmt: skip
