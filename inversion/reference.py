"""Two baselines, rebuilt from their descriptions: StyleGAN2's projector, and Image2StyleGAN.

Their protocols are fixed: of the options only steps, seed and precision count. Both keep the last code."""

import math

import torch
from torch import Tensor

from inversion.adam import EPSILON, learning_rate_schedule
from inversion.codes import check_targets
from inversion.losses import standardise_noise
from inversion.objective import InversionObjective, LossWeights, total
from inversion.state import State, pack_optimizer, pack_streams, run_search, unpack_optimizer, unpack_streams
from inversion.statistics import sample_w
from inversion.task import Projection, Task
from stylegan_core.devices import reduced_precision
from stylegan_core.errors import ConfigError
from stylegan_core.seeds import generator_for

NUM_W_SAMPLES = 10_000  # for w_avg and w_std
LR, BETAS = 0.1, (0.9, 0.999)
JITTER = 0.05  # initial noise on w, in units of w_std
JITTER_UNTIL = 0.75  # share of the steps after which there is none
LAMBDA_NOISE = 1e5
I2S_LR = 0.01
NOISE_STREAM = 1 << 20  # keeps the noise maps' random numbers apart from the jitter's


def reference(task: Task) -> Projection:
    """Project into W as the projector of StyleGAN2 does (Karras et al. 2020, appendix D).

    Adam at 0.1 with ramps from the mean of 10,000 w; w is jittered by 0.05 of their overall deviation, annealed to
    zero over 75 % of the steps; perceptual loss alone, and the noise maps' autocorrelation times 1e5. Fresh noise maps
    are optimised along and then thrown away, as its tools store w alone. 1,000 steps are its default."""
    return _run(_Reference(task), task, "reference")


def image2stylegan(task: Task) -> Projection:
    """Embed into W+ as Image2StyleGAN does (Abdal et al. 2019).

    Adam at 0.01 from w_avg, perceptual loss and mean squared error, both of weight 1; the noise stays. 5,000 steps are
    its default."""
    return _run(_Image2StyleGAN(task), task, "image2stylegan")


class _Baseline:
    """Adam on the codes of N targets, independent of each other."""

    lr = LR
    weights = LossWeights(perceptual=1.0, noise=LAMBDA_NOISE)

    def __init__(self, task: Task) -> None:
        check_targets(task.generator, task.targets)
        if task.perceptual is None:
            raise ConfigError("the baselines minimise a perceptual distance; give one with --perceptual")
        if task.masks is not None:
            raise ConfigError("the baselines know no masks; use --method project, hybrid or tune")
        self.task = task
        self.objective = InversionObjective(task.generator.synthesis, self.weights, task.perceptual)
        self.target = self.objective.target(task.targets)
        self.w, self.noise = self._start()
        parameters = [tensor.requires_grad_(True) for tensor in (self.w, *self.noise.values())]
        self.optimizer = torch.optim.Adam(parameters, lr=self.lr, betas=BETAS, eps=EPSILON)
        self.streams = [generator_for(task.config.seed) for _ in task.targets]
        self.history: list[dict[str, list[float]]] = [{} for _ in task.targets]

    def step(self, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * self._rate(step)
        with reduced_precision(self.w.device, self.task.config.precision):
            ws = self._codes(step).expand(-1, self.task.generator.num_ws, -1)
            terms = self.objective.terms(ws, self.target, self.noise)
        loss = total(terms)  # [N]
        self.optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        self.optimizer.step()
        standardise_noise(list(self.noise.values()))
        for name, values in terms.items():
            for row, value in enumerate(values.detach().tolist()):
                self.history[row].setdefault(name, []).append(value)
        return float(loss.detach().mean())

    def finished(self) -> bool:
        return False

    def ws_so_far(self) -> Tensor:
        return self.w.detach().expand(-1, self.task.generator.num_ws, -1)

    def state(self) -> State:
        noise = {f"noise.{name}": level for name, level in self.noise.items()}
        tensors = {"w": self.w, **noise, **pack_optimizer(self.optimizer)}
        return {**tensors, "streams": pack_streams(self.streams)}, {"history": self.history}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, list[dict[str, list[float]]]]) -> None:
        with torch.no_grad():
            self.w.copy_(tensors["w"])
            for name, level in self.noise.items():
                level.copy_(tensors[f"noise.{name}"])
        unpack_optimizer(self.optimizer, tensors)
        unpack_streams(self.streams, tensors["streams"])
        self.history = facts["history"]

    def _start(self) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def _rate(self, step: int) -> float:
        return 1.0

    def _codes(self, step: int) -> Tensor:
        """Return the codes [N, 1 or num_ws, w_dim] that are looked at in this step."""
        return self.w


class _Reference(_Baseline):
    def _start(self) -> tuple[Tensor, dict[str, Tensor]]:
        generator, targets = self.task.generator, self.task.targets
        samples = sample_w(generator, NUM_W_SAMPLES, seed=123)  # the description draws them with a fixed seed
        mean = samples.mean(dim=0)
        self.w_std = float((samples - mean).square().sum() / NUM_W_SAMPLES) ** 0.5  # one number, over all dimensions
        noise = {}
        for index, (name, level) in enumerate(generator.noise.items()):
            draw = torch.randn(level.shape, generator=generator_for(self.task.config.seed, NOISE_STREAM + index))
            noise[name] = draw[None, None].repeat(len(targets), 1, 1, 1).to(targets)
        return mean.expand(len(targets), 1, -1).clone(), noise

    def _rate(self, step: int) -> float:
        return learning_rate_schedule(step, self.task.config.steps)

    def _codes(self, step: int) -> Tensor:
        share = max(0.0, 1 - step / max(1, self.task.config.steps) / JITTER_UNTIL) ** 2
        draws = torch.stack([torch.randn(self.w.shape[1:], generator=stream) for stream in self.streams])
        return self.w + draws.to(self.w) * (self.w_std * JITTER * share)


class _Image2StyleGAN(_Baseline):
    lr = I2S_LR
    weights = LossWeights(mse=1.0, perceptual=1.0)

    def _start(self) -> tuple[Tensor, dict[str, Tensor]]:
        generator = self.task.generator
        return generator.w_avg.expand(len(self.task.targets), generator.num_ws, -1).clone(), {}


def _run(search: _Baseline, task: Task, kind: str) -> Projection:
    steps = task.config.steps
    run_search(search, task, steps, kind)
    num = len(task.targets)
    last = [sum(values[-1] for values in history.values()) if history else math.inf for history in search.history]
    codes = search.w.detach().expand(-1, task.generator.num_ws, -1).clone()
    return Projection(codes, {}, torch.tensor(last), [max(steps - 1, 0)] * num, [steps] * num, search.history)
