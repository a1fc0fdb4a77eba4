"""The tested versions of .ci/constraints.txt belong to what pyproject.toml asks for."""

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ["3.10.0", "3.11.0", "3.12.0", "3.13.0"]
MACHINES = ["x86_64", "aarch64"]


def lines(name: str) -> list[Requirement]:
    text = (ROOT / ".ci" / name).read_text().splitlines()
    return [Requirement(line) for line in text if line and not line.startswith("#")]


def applies(requirement: Requirement, python: str, machine: str) -> bool:
    place = {
        "python_full_version": python, "python_version": python.rpartition(".")[0], "platform_machine": machine,
        "sys_platform": "linux", "platform_python_implementation": "CPython", "extra": "",
    }  # fmt: skip
    return requirement.marker is None or requirement.marker.evaluate(place)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_each_dependency_has_one_tested_version_that_fits(python: str, machine: str) -> None:
    pins: dict[str, list[str]] = {}
    for pin in lines("constraints.txt"):
        if applies(pin, python, machine):
            (version,) = (item.version for item in pin.specifier if item.operator == "==")
            pins.setdefault(pin.name, []).append(version)
    for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]):
        wanted = Requirement(text)
        if applies(wanted, python, machine):
            versions = pins.get(re.sub(r"[-_.]+", "-", wanted.name).lower(), [])
            assert len(versions) == 1, f"{wanted.name}: {versions}; run `make lock`"
            assert wanted.specifier.contains(versions[0]), f"{text}: {versions[0]} is locked; run `make lock`"


def test_what_is_held_is_what_is_locked() -> None:
    locked = {pin.name: str(pin.specifier) for pin in lines("constraints.txt")}
    for held in lines("held.txt"):
        assert locked[held.name] == str(held.specifier), f"{held.name}: run `make lock`"
