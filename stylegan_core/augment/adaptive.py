"""The controller of the augmentation probability (ADA, section 3)."""


class AdaptiveProbability:
    """Moves p so that r_t stays at `target`: over it D overfits and p grows, under it p falls.

    r_t = E[sign(D(real) - b)] for the objective's boundary b between real and generated, 0 for logits."""

    def __init__(self, p: float = 0.0, target: float = 0.6, speed_kimg: float = 500.0, interval: int = 4) -> None:
        self.p = p
        self.target = target
        self.speed_kimg = speed_kimg  # thousands of images in which p can go from 0 to 1
        self.interval = interval  # batches between two adjustments
        self.sign_sum = 0.0
        self.num_seen = 0
        self.num_batches = 0
        self.r_t = 0.0

    def update(self, sign_sum: float, num: int) -> float:
        """Take in a batch: the sum of signs of D's outputs about the boundary on `num` real images. Return p."""
        self.sign_sum += sign_sum
        self.num_seen += num
        self.num_batches += 1
        if self.num_batches % self.interval == 0:
            self.r_t = self.sign_sum / self.num_seen
            direction = (self.r_t > self.target) - (self.r_t < self.target)
            step = self.num_seen / (self.speed_kimg * 1000)
            self.p = min(max(self.p + direction * step, 0.0), 1.0)
            self.sign_sum, self.num_seen = 0.0, 0
        return self.p

    def state(self) -> dict[str, float]:
        """Give all numbers that a later run needs to go on as if it had not stopped."""
        names = ("p", "sign_sum", "num_seen", "num_batches", "r_t")
        return {name: float(getattr(self, name)) for name in names}

    def restore(self, state: dict[str, float]) -> None:
        """Take up the numbers of `state()`."""
        self.p, self.sign_sum, self.r_t = state["p"], state["sign_sum"], state["r_t"]
        self.num_seen, self.num_batches = int(state["num_seen"]), int(state["num_batches"])
