"""Make a virtual environment with pip, also where Debian's python3 comes without ensurepip."""

import json
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from pathlib import Path

folder = Path(sys.argv[1])
try:
    import ensurepip  # noqa: F401
except ImportError:
    # Debian keeps ensurepip in python3-venv; without it pip comes from its own wheel, which can run itself.
    venv.create(folder, clear=True, with_pip=False)
    with urllib.request.urlopen("https://pypi.org/pypi/pip/json", timeout=60) as answer:
        wheel = next(file for file in json.load(answer)["urls"] if file["packagetype"] == "bdist_wheel")
        address = urllib.parse.urljoin(answer.url, wheel["url"])  # mirrors give relative addresses
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / wheel["filename"]
        urllib.request.urlretrieve(address, path)
        python = str(folder / "bin" / "python")
        subprocess.run([python, str(path / "pip"), "install", "--quiet", str(path)], check=True)
else:
    venv.create(folder, clear=True, with_pip=True)
