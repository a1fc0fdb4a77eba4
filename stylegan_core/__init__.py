"""StyleGAN networks, checkpoints, training and metrics."""

import os

# OpenMP threads that spin while they wait make torch ten times slower where another process wants the cores as well
# (measured: docs/architecture.md). The setting counts only until torch is imported, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
