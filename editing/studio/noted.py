"""Edits that search on renders, and what they found: the same is not searched for twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from editing.codes import code_opener
from editing.operations.base import Edit, Operation, Report
from editing.operations.render import Render
from stylegan_core.networks.protocol import Generator

MAX_FOUND = 32  # searches whose results are noted


@dataclass
class Found:
    """What was found on the faces of one photo."""

    # By face, all operations up to the one that searched, way of pasting and region: the code, and what is said of it.
    codes: dict[tuple[int, tuple[Operation, ...], str, str], tuple[Tensor, Report]] = field(default_factory=dict)
    # By face and operation: the step that it took last, whatever came before it, and that in style space.
    steps: dict[tuple[int, Operation], tuple[Tensor, Report]] = field(default_factory=dict)


def noted(
    found: Found, generator: Generator, index: int, operations: Sequence[Operation], paste: str, quick: bool
) -> list[Edit]:
    """Resolve operations on a face; those that search note what they find, and find the same again without a search.

    `quick` repeats the step that an operation took last where other edits come before it now."""
    repeated: list[Operation] = []  # by a step that belongs to other edits: what follows is no result to be noted

    def one(operations: tuple[Operation, ...]) -> Edit:
        edit = operations[-1].resolve(generator, code_opener(generator))
        step_key = (index, operations[-1])

        def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
            key = (index, operations, paste, render.region)
            if key in found.codes and not repeated:
                moved, report = found.codes[key]
                return moved, dict(report)
            if quick and edit.repeats and step_key in found.steps:
                repeated.append(operations[-1])
                step, again = found.steps[step_key]
                return ws + step.to(ws), dict(again)
            moved, report = edit.apply(ws, render)
            if not repeated:
                styles = {name: value for name, value in report.items() if name == "styles"}
                found.codes = {**dict(list(found.codes.items())[-MAX_FOUND:]), key: (moved, dict(report))}
                found.steps = {**dict(list(found.steps.items())[-MAX_FOUND:]), step_key: (moved - ws, styles)}
            return moved, report

        return edit if edit.steady else replace(edit, apply=apply)

    return [one(tuple(operations[: number + 1])) for number in range(len(operations))]
