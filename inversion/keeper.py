"""The best of a search so far, target by target, its history, and who has settled."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FACTS = ("active", "best_step", "num_steps", "settled_at", "settled_loss", "history")


class Keeper:
    """Keeps what a batch of N independent searches found; `best` are tensors [N, ...] by name."""

    def __init__(self, best: Mapping[str, Tensor], patience: int, settled: float) -> None:
        """`patience` steps without a relative improvement by `settled` end a target's search (0: nothing does)."""
        self.patience, self.settled = patience, settled
        self.best = {name: value.clone() for name, value in best.items()}
        num = len(next(iter(best.values())))
        self.loss = torch.full([num], math.inf)
        self.active = list(range(num))  # the targets that have not settled
        self.best_step, self.num_steps, self.settled_at = [0] * num, [0] * num, [0] * num
        self.settled_loss = [math.inf] * num
        self.history: list[dict[str, list[float]]] = [{} for _ in range(num)]

    def look(self, step: int, values: Mapping[str, Tensor], loss: Tensor, terms: Mapping[str, Tensor]) -> None:
        """Take in what the active targets came to: `values` [n, ...] by name, their loss [n] and its terms."""
        still_active = []
        for row, target in enumerate(self.active):
            value = float(loss[row].detach())
            self.num_steps[target] = step + 1
            for name, term in terms.items():
                self.history[target].setdefault(name, []).append(float(term[row].detach()))
            if value < self.loss[target]:
                self.loss[target], self.best_step[target] = value, step
                for name, kept in self.best.items():
                    kept[target] = values[name][row].detach()
            if value < self.settled_loss[target] * (1 - self.settled):
                self.settled_loss[target], self.settled_at[target] = value, step
            if math.isfinite(value) and not self._has_settled(step, target):
                still_active.append(target)
        self.active = still_active

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of its state, which are changed in place."""
        return {"best_loss": self.loss, **{f"best.{name}": value for name, value in self.best.items()}}

    def facts(self) -> dict[str, Any]:
        """Return the rest of its state, as JSON values."""
        return {name: getattr(self, name) for name in FACTS}

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Take over what `facts` returned."""
        for name in FACTS:
            setattr(self, name, facts[name])

    def _has_settled(self, step: int, target: int) -> bool:
        return bool(self.patience) and step - self.settled_at[target] >= self.patience
