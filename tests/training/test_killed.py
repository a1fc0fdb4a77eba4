import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stylegan_core.networks.configs import PRESETS
from stylegan_core.training.loop import train
from stylegan_core.training.state import STATE_FILE

ROOT = Path(__file__).parents[2]
WORKER = """
import json, sys, torch
torch.set_num_threads(1)
from stylegan_core.networks import configs
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.loop import train
values = json.loads(sys.argv[1])
configs.PRESETS["tiny"] = configs.StyleGAN2Config(**values.pop("tiny"))
train(TrainConfig(**values))
"""


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_from_its_last_snapshot_to_the_same_weights(tiny, tmp_path):
    whole = dataclasses.replace(tiny, kimg=0.4, snapshot_kimg=0.08)
    killed = dataclasses.replace(whole, out=str(tmp_path / "killed"))
    values = dataclasses.asdict(killed) | {"tiny": dataclasses.asdict(PRESETS["tiny"])}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen([sys.executable, "-c", WORKER, json.dumps(values)], env=environment)
    state, deadline = Path(killed.out) / STATE_FILE, time.monotonic() + 240
    while not state.is_file() and worker.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    assert state.is_file()
    assert worker.returncode == -9, "the run ended before it could be killed"
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the worker: sums over threads differ in the last bit
    try:
        assert train(killed).finished
        train(whole)
    finally:
        torch.set_num_threads(before)
    first, second = load_file(f"{whole.out}/{STATE_FILE}"), load_file(state)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
