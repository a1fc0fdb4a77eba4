"""Imports go one way: stylegan_core <- inversion <- editing <- cli."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "stylegan_core": {"stylegan_core"},
    "inversion": {"stylegan_core", "inversion"},
    "editing": {"stylegan_core", "inversion", "editing"},
    "invertigo": {"stylegan_core", "inversion", "editing", "invertigo", "cli"},
}
OURS = {*MAY_IMPORT, "cli"}


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_stands_below_them(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        wrong = (imported_packages(path) & OURS) - MAY_IMPORT[package]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_the_command_line_imports_no_torch():
    code = "import sys, cli; print([m for m in ('torch', 'numpy', 'cv2', 'lpips') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_a_command_imports_no_other_command():
    code = (
        "import sys, cli; cli.main(['info', '--help'], standalone_mode=False);"
        "print(sorted(m for m in sys.modules if m.startswith('invertigo.commands.') or m == 'editing.config'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    wanted = ["invertigo.commands.declare", "invertigo.commands.groups", "invertigo.commands.info"]
    assert result.stdout.splitlines()[-1] == str(wanted)


def test_two_classes_never_share_a_name():
    places: dict[str, list[str]] = {}
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert len(places) > 200
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_no_plain_pickle_or_unsafe_torch_load_anywhere():
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
                assert (owner, node.func.attr) not in {("pickle", "load"), ("pickle", "loads")}, path
                if (owner, node.func.attr) == ("torch", "load"):
                    safe = [
                        k for k in node.keywords if k.arg == "weights_only" and getattr(k.value, "value", 0) is True
                    ]
                    assert safe, f"{path}: torch.load without weights_only=True"


def test_every_asset_is_packaged():
    text = (ROOT / "pyproject.toml").read_text()
    patterns = re.search(r"^stylegan_core = \[(.*)\]$", text, flags=re.M).group(1).replace('"', "").split(", ")
    package = ROOT / "stylegan_core"
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    assets = {path for path in (package / "assets").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert len(assets) > 7
    assert assets <= packaged
