"""The page on Python runs as it stands, block after block."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_page_on_python_runs_as_it_stands(astronaut, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(astronaut[:320, 100:360]).save("in.jpg", quality=95)
    Image.new("RGB", (120, 120), "grey").save("no-face.png")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4 and "edit_photo(" in blocks[0]
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)  # noqa: S102  # our own page
    photo = np.asarray(Image.open("in.jpg")).astype(int)
    for written in ("out.jpg", "both.jpg", "edited-in.jpg", "smiling.jpg"):
        assert np.abs(np.asarray(Image.open(written)).astype(int) - photo).max() > 30, written
    assert names["image"].shape == (1, 3, 256, 256)
    assert "no-face.png: no face found" in capsys.readouterr().out
