"""Train a generator and its encoder together: faces in, codes, faces out, with an adversary for the texture.

A generator of faces on a small machine. The encoder's codes of real faces are drawn by the generator, which learns
to draw those faces (squared error, L1, perceptual distance); what only the adversary can teach, texture, it teaches on
crops, where the last resolution runs on a quarter of the image alone. Of the codes some are put into W, so that
samples and directions, which live there, are drawn as well as W+ is; and some get what an image's own search has added
to the encoder's guess so far, a step at each visit, so that the generator learns to use W+ as searches will."""

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.config import CotrainConfig, EncoderConfig
from inversion.encoder import Encoder, find_encoder, save_encoder
from inversion.losses import wplus_spread
from inversion.state import State, run_steps
from inversion.train_encoder import HIDDEN, start_encoder
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.checkpoints.native import Description, save_generator
from stylegan_core.console import Console
from stylegan_core.devices import pick_device, reduced_precision
from stylegan_core.errors import ConfigError
from stylegan_core.features.perceptual import UNCALIBRATED, load_perceptual
from stylegan_core.networks.crops import render_with_crops
from stylegan_core.networks.patch import PatchDiscriminator
from stylegan_core.networks.protocol import Generator
from stylegan_core.ops.resample import resized
from stylegan_core.seeds import generator_for
from stylegan_core.training import ema
from stylegan_core.training.dataset import ImageDataset, left_out, names_in, parse_weights
from stylegan_core.training.grow import widen
from stylegan_core.training.warm import fit_mapping

BETAS = (0.5, 0.99)
RAMP, FALL = 200, 0.4  # steps over which learning rates rise; the last share of them, over which they fall
LR_OFFSETS = (
    0.05  # of the encoder's last layer, in units of --lr-encoder: what it gives are codes in units of the std of W
)
LONE, GUESSED, LONE_WEIGHT = 0.2, 0.25, 0.5  # shares of codes put into W, and as guessed; what those in W count
STRIDES, FORGET = (0.12, 0.03), 0.01  # of an image's own search: first and last step, in units of the std of W; decay
JITTER = 0.03  # noise on the codes, in units of the std of W
L1, MSE, PERCEPTUAL = 3.0, 40.0, 1.0  # weights for the whole image at half the resolution
CROP_L1, CROP_MSE, CROP_PERCEPTUAL = 3.0, 15.0, 0.8  # and for the crop at the full resolution
SPREAD = 0.02  # weight of the W+ code's squared spread around W
HALF_LIFE = 2.8  # kimg, of the averages that are kept
# Middles of the crops in shares of the side: mouth, eyes, hair, cheeks, corners; and how often each is taken.
PLACES = ((0.5, 0.71), (0.35, 0.44), (0.65, 0.44), (0.5, 0.16), (0.5, 0.5), (0.23, 0.23), (0.77, 0.23), (0.23, 0.78),
          (0.77, 0.78))  # fmt: skip
OFTEN = (0.28, 0.12, 0.12, 0.12, 0.12, 0.06, 0.06, 0.06, 0.06)
WANDER = 0.1  # how far a crop's middle strays, in shares of the side
STREAM = 1 << 25
ENCODER_FILE, STATE_FILE = "encoder.safetensors", ".cotrain.state"


def cotrain(out: str, init: str, device: str, config: CotrainConfig, console: Console) -> None:
    """Train both and write `OUT/NAME.safetensors` and `OUT/encoder.safetensors`; run again, it goes on."""
    place = pick_device(device)
    start = load_generator(init, place)
    faces = Faces(config, start.img_resolution * 2 if not config.channels else 4 * 2 ** (len(_channels(config)) - 1))
    training = _Cotraining(start, faces, config, place)
    folder = Path(out)
    about = {**asdict(config), "init": start.meta.fingerprint, "images": faces.digest()}
    signature = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    with console.progress("cotrain", config.steps) as progress:
        run_steps(training, config.steps, progress, folder / STATE_FILE, signature)
    if config.fit_mapping:
        moved = fit_mapping(training.average, training.codes())
        training.encoder_average.shift += moved
    told = {"options": asdict(config), "init": start.meta.name, "kimg": config.steps * config.batch / 1000}
    description = Description(start.meta.alignment, start.meta.licence, told)
    path = folder / f"{config.name}.safetensors"
    digest = save_generator(path, training.average, description, half=True)
    save_encoder(folder / ENCODER_FILE, training.encoder_average, digest, {}, told)
    (folder / STATE_FILE).unlink(missing_ok=True)
    console.say(f"{path}: a generator of {faces.resolution} px, and {ENCODER_FILE} beside it")


def _channels(config: CotrainConfig) -> list[int]:
    try:
        return [int(part) for part in config.channels.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(f"--channels '{config.channels}' is no list of numbers such as 256,256,128") from None


@dataclass(frozen=True)
class Picked:
    """The images of one step; the first `len(large)` of `images` are those of `large`, shrunk."""

    images: Tensor  # [N, C, R/2, R/2]
    large: Tensor  # [K, C, R, R]
    entries: list[int]  # [N]: which they are
    searched: Tensor  # [N]: whether they get what their own search has added; only those are never mirrored
    lone: Tensor  # [N]: whether their codes are put into W


class Faces:
    """Faces of several data sets, those of the full resolution and those of half of it, by weight of their source."""

    def __init__(self, config: CotrainConfig, resolution: int) -> None:
        self.resolution = resolution
        self.sets: list[ImageDataset] = []
        self.entries: list[tuple[int, int]] = []  # data set and index
        weights: list[float] = []
        by_source, persons = parse_weights(config.weights), names_in(config.exclude)
        for path in [part.strip() for part in config.data.split(",") if part.strip()]:
            data = ImageDataset(path)
            if data.native < resolution // 2 or data.channels != 3:
                raise ConfigError(f"{path}: colour images of {resolution // 2} pixels or more are needed")
            data.resolution = resolution if data.native >= resolution else resolution // 2
            rows = data.attributes()
            for index, name in enumerate(data.files.names):
                row = rows.get(name, {})
                if left_out(row, index, persons, config.holdout):
                    continue
                self.entries.append((len(self.sets), index))
                weights.append(by_source.get(row.get("source", ""), 1.0))
            self.sets.append(data)
        if not self.entries:
            raise ConfigError("--data names no images to train on; give folders or zips of aligned faces")
        self.weights = torch.tensor(weights, dtype=torch.float64)

    def digest(self) -> list[Any]:
        """Return what tells these faces from others: paths, numbers and weights."""
        return [[str(data.path), data.num_images] for data in self.sets] + [float(self.weights.sum())]

    def pick(self, num: int, stream: torch.Generator) -> Picked:
        """Draw `num` faces, half of them mirrored; those of the full resolution come first."""
        chosen = torch.multinomial(self.weights, num, replacement=True, generator=stream).tolist()
        chosen.sort(key=lambda entry: self.sets[self.entries[entry][0]].resolution != self.resolution)
        lot = torch.rand(num, generator=stream)
        lone, searched = lot < LONE, lot >= LONE + GUESSED
        mirrored = (torch.rand(num, generator=stream) < 0.5) & ~searched
        large, images = [], []
        for entry, mirror in zip(chosen, mirrored.tolist(), strict=True):
            which, index = self.entries[entry]
            image = self.sets[which].batch([index])[0]
            image = image.flip(3) if mirror else image
            if image.shape[-1] == self.resolution:
                large.append(image)
            images.append(resized(image, self.resolution // 2))
        none = torch.zeros(0, 3, self.resolution, self.resolution)
        return Picked(torch.cat(images), torch.cat(large) if large else none, chosen, searched, lone)


def corners(num: int, side: int, stream: torch.Generator) -> list[tuple[int, int]]:
    """Draw top and left of `num` crops of half the side of an image of `side` pixels, mostly over eyes and mouth."""
    chosen = torch.multinomial(torch.tensor(OFTEN), num, replacement=True, generator=stream) if num else torch.empty(0)
    middles = torch.tensor(PLACES)[chosen.long()] + WANDER * (2 * torch.rand(num, 2, generator=stream) - 1)
    first = ((middles - 0.25) * side).round().long().clamp(0, side // 2)
    return [(int(y), int(x)) for x, y in first.tolist()]


class _Cotraining:
    """Adam on generator, encoder and the adversary."""

    def __init__(self, start: Any, faces: Faces, config: CotrainConfig, device: torch.device) -> None:
        self.config, self.faces, self.device = config, faces, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            channels = _channels(config)
            size = start.config.block_resolutions
            old = [start.config.channels_at(r) for r in size]
            self.generator = widen(start, channels or [*old, max(old[-1] // 2, 8)]).to(device)
            self.encoder = _started_encoder(start, self.generator, config.encoder).to(device)
            self.critic = PatchDiscriminator(start.img_channels).to(device)
        self.generator.requires_grad_(False).train()
        self.generator.synthesis.requires_grad_(True)
        self.average, self.encoder_average = deepcopy(self.generator), deepcopy(self.encoder)
        self.perceptual = load_perceptual(UNCALIBRATED, device)
        self.found = torch.zeros(len(faces.entries), self.generator.num_ws, self.generator.w_dim)  # in stds of W
        rest = [p for name, p in self.encoder.named_parameters() if not name.startswith("offsets")]
        encoder = [
            {"params": rest, "peak": config.lr_encoder},
            {"params": list(self.encoder.offsets.parameters()), "peak": config.lr_encoder * LR_OFFSETS},
        ]
        self.optimizers = {
            "generator": torch.optim.Adam([{"params": list(self.generator.synthesis.parameters()), "peak": config.lr}],
                                          lr=config.lr, betas=BETAS),
            "encoder": torch.optim.Adam(encoder, lr=config.lr_encoder, betas=BETAS),
            "critic": torch.optim.Adam([{"params": list(self.critic.parameters()), "peak": config.lr_critic}],
                                       lr=config.lr_critic, betas=BETAS),
        }  # fmt: skip

    def step(self, step: int) -> float:
        """Take one step; return the loss without the adversary's part."""
        config, share = self.config, step / max(self.config.steps, 1)
        self._set_rates(step)
        stream = generator_for(config.seed, STREAM + step)
        picked = self.faces.pick(config.batch, stream)
        adversarial = share >= config.critic_from and len(picked.large) > 0
        added = (self.found[picked.entries] * picked.searched[:, None, None]).to(self.device).requires_grad_(True)
        with reduced_precision(self.device, config.precision):
            loss, crops, target = self._loss(picked, added, stream)
            opinion = self.critic(crops).float().mean() if adversarial else loss.new_zeros([])
        self._advance(loss - config.critic_weight * opinion, ("generator", "encoder"))
        assert added.grad is not None
        self._search_on(picked, added.grad.cpu(), share)
        if adversarial:
            with reduced_precision(self.device, config.precision):
                real, fake = (self.critic(part).float() for part in (target, crops.detach()))
            self._advance(F.relu(1 - real).mean() + F.relu(1 + fake).mean(), ("critic",))
        beta = ema.decay(config.batch, HALF_LIFE, (step + 1) * config.batch, 0.1)
        ema.update(self.average, self.generator, beta)
        ema.update(self.encoder_average, self.encoder, beta)
        return float(loss.detach())

    def _loss(self, picked: Picked, added: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return how far the faces are from what is drawn of their codes, and the crops that were drawn and wanted."""
        images, large = picked.images.to(self.device), picked.large.to(self.device)
        half = images.shape[-1] // 2
        places = corners(len(large), images.shape[-1], stream)
        ws = self.encoder(images) + added * self.encoder.w_std
        drawn, crops = render_with_crops(self.generator, self._varied(ws, picked.lone, stream), places, half)
        counts = torch.where(picked.lone, LONE_WEIGHT, 1.0).to(images)
        loss = (self._distance(drawn, images, L1, MSE, PERCEPTUAL) * counts).mean()
        corner = enumerate(places)
        wanted = [large[i : i + 1, :, 2 * y : 2 * (y + half), 2 * x : 2 * (x + half)] for i, (y, x) in corner]
        target = torch.cat(wanted) if wanted else crops
        if wanted:
            near = self._distance(crops, target, CROP_L1, CROP_MSE, CROP_PERCEPTUAL)
            loss = loss + (near * counts[: len(crops)]).mean()
        return loss + SPREAD * wplus_spread(ws.float(), self.encoder.w_std).mean(), crops, target

    def _search_on(self, picked: Picked, gradient: Tensor, share: float) -> None:
        """Take a step of the own search of those images that are searched; nearly as long in every coordinate."""
        scale = gradient.square().mean(dim=(1, 2), keepdim=True).sqrt()
        direction = gradient / (gradient.abs() + 0.3 * scale + 1e-12)
        first, last = STRIDES
        stride = last + (first - last) * min(1.0, (1 - share) / FALL)
        for row in picked.searched.nonzero().flatten().tolist():
            entry = picked.entries[row]
            self.found[entry] = self.found[entry] * (1 - FORGET) - stride * direction[row]

    def _set_rates(self, step: int) -> None:
        left = 1 - step / max(self.config.steps, 1)
        schedule = min(1.0, (step + 1) / RAMP) * min(1.0, left / FALL)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * schedule

    def _varied(self, ws: Tensor, lone: Tensor, stream: torch.Generator) -> Tensor:
        """Put the codes of `lone` [N] into W, and jitter all of them, the same in every layer."""
        mean = ws.mean(dim=1, keepdim=True)
        keep = (~lone).to(ws)[:, None, None]
        noise = torch.randn(len(ws), 1, ws.shape[2], generator=stream).to(ws) * self.encoder.w_std * JITTER
        return mean + (ws - mean) * keep + noise

    def _distance(self, drawn: Tensor, images: Tensor, l1: float, mse: float, perceptual: float) -> Tensor:
        """Return the weighted distance [N] of images and what was drawn."""
        difference = drawn - images
        with torch.no_grad():
            target = self.perceptual.features(images)
        features = self.perceptual.between(self.perceptual.features(drawn), target)
        pixels = l1 * difference.abs().mean(dim=(1, 2, 3)) + mse * difference.square().mean(dim=(1, 2, 3))
        return pixels + perceptual * features

    def _advance(self, loss: Tensor, names: Sequence[str]) -> None:
        for name in names:
            self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        if "encoder" in names:
            torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
        for name in names:
            self.optimizers[name].step()

    @torch.no_grad()
    def codes(self) -> Tensor:
        """Return the codes w [N, w_dim] that the averaged encoder gives the faces that are trained on."""
        parts = []
        for which, index in self.faces.entries:
            image = self.faces.sets[which].batch([index])[0].to(self.device)
            parts.append(self.encoder_average.guess_w(resized(image, self.faces.resolution // 2)))
        return torch.cat(parts)

    def finished(self) -> bool:
        """Tell that there is always more to learn."""
        return False

    def _networks(self) -> dict[str, torch.nn.Module]:
        return {"generator": self.generator, "encoder": self.encoder, "critic": self.critic, "average": self.average,
                "encoder_average": self.encoder_average}  # fmt: skip

    def state(self) -> State:
        """Return everything the next step depends on."""
        tensors: dict[str, Tensor] = {"found": self.found}
        tensors |= {f"{key}.{n}": t for key, net in self._networks().items() for n, t in net.state_dict().items()}
        for key, optimizer in self.optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                tensors |= {f"adam.{key}.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        return tensors, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.found = tensors["found"]
        for key, network in self._networks().items():
            network.load_state_dict({name: tensors[f"{key}.{name}"] for name in network.state_dict()})
        for key, optimizer in self.optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith(f"adam.{key}."):
                    index, field = name.removeprefix(f"adam.{key}.").split(".")
                    state.setdefault(int(index), {})[field] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _started_encoder(start: Any, generator: Generator, path: str) -> Encoder:
    """Return the encoder of the generator that training starts from (a new one where it has none), for more layers."""
    known = find_encoder(start, path)
    old = known.network if known and known.network else start_encoder(start, EncoderConfig())
    encoder = Encoder(replace(old.shape, num_ws=generator.num_ws, hidden=old.shape.hidden or HIDDEN, mean_w=1))
    state = {**encoder.state_dict(), **{n: t for n, t in old.state_dict().items() if not n.startswith("offsets")}}
    if old.shape.hidden:
        rows = torch.arange(generator.num_ws).clamp(max=old.shape.num_ws - 1)  # new layers take the last one's codes
        for name in ("offsets.weight", "offsets.bias"):
            layers = old.state_dict()[name].unflatten(0, (old.shape.num_ws, -1))
            state[name] = layers[rows.to(layers.device)].flatten(0, 1)
    encoder.load_state_dict(state)
    return encoder.train().requires_grad_(True)
