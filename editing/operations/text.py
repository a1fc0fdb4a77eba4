"""Edit towards a text, by the channels of style space that CLIP sees going there (StyleCLIP)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from editing.config import DEFAULT_SEARCH, SearchConfig, check_judge, check_target
from editing.operations.base import AUTO, Edit, OpenCode, Operation, Report
from editing.operations.fields import keep_option, keeping, strength_option, told_kept, told_strength
from stylegan_core.errors import ConfigError
from stylegan_core.options import group, option

if TYPE_CHECKING:
    from torch import Tensor

    from editing.operations.render import Render
    from stylegan_core.networks.protocol import Generator

MAX_TEXT = 300  # characters; CLIP reads 77 tokens
THRESHOLD = 0.1


def check_text(text: str) -> None:
    """Refuse what is no text, or more than CLIP reads; raises `ConfigError`."""
    if text and not text.strip():
        raise ConfigError("--text says nothing; expected what the picture shall show, as 'a person with a beard'")
    if len(text) > MAX_TEXT:
        raise ConfigError(f"--text of {len(text)} characters is more than CLIP reads; expected {MAX_TEXT} at most")


@dataclass(frozen=True)
class Text(Operation):
    """A step of the style channels that a text asks for (StyleCLIP's global directions, Patashnik et al. 2021)."""

    key: ClassVar[str] = "text"
    text: str = option(
        "", "what the picture shall show, as 'a person with a beard', or ...:1.5 with a strength; repeat",
        check=check_text, metavar="TEXT", prose=True,
    )  # fmt: skip
    text_neutral: str = option("a person", "what the picture shows without --text, in the same words", check=check_text)
    text_threshold: float = option(
        THRESHOLD, "for --text: channels whose way has a lower cosine with the text's stay; lower: more channels",
        least=0, most=1,
    )  # fmt: skip
    clip: str = option("", "checkpoint of open_clip for --text; empty: that of the latest `channels fit --clip FILE`")
    text_table: str = option(
        "", "table of `channels fit --clip FILE` for --text (needs --clip); empty: where it was put"
    )
    strength: float | str = strength_option()
    keep: str = keep_option()
    search: SearchConfig = group(DEFAULT_SEARCH, beside=("strength", AUTO))

    @classmethod
    def mistakes(cls, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return (option, reason) of everything wrong: also a neutral text that is none, and a table without CLIP."""
        found = super().mistakes(values)
        if "text_neutral" in values and not str(values["text_neutral"]).strip():
            found.append(("text_neutral", "--text-neutral says nothing; expected as 'a person'"))
        if values.get("text_table") and not values.get("clip"):  # the CLIP that a table names is its author's word
            found.append(
                ("text_table", f"--text-table {values['text_table']} needs the CLIP it was made with; add --clip FILE")
            )
        return found

    @property
    def label(self) -> str:
        """As `a person with a beard 1`."""
        return f"{self.text} {told_strength(self.strength)}"

    def describe(self) -> str:
        """Say in words what it will do."""
        how_far = self.search.describe() if self.strength == AUTO else f"at {told_strength(self.strength)}"
        return f"from '{self.text_neutral}' to '{self.text}' {how_far}{told_kept(self.keep)}"

    def files(self) -> list[Path]:
        """Return the files of CLIP and of the table, where they are named."""
        return [Path(name).expanduser() for name in (self.clip, self.text_table) if name]

    def check(self, generator: str) -> None:
        """Refuse files that are not there, and a strength that is looked for without a judge."""
        for flag, name in (("clip", self.clip), ("text-table", self.text_table)):
            if name and not Path(name).expanduser().is_file():
                raise ConfigError(f"--{flag} {name}: no such file; check the path (nothing is fetched)")
        if self.strength == AUTO and not self.search.judge:
            raise ConfigError(f"no judge is known for '{self.text}', which auto needs; name one with --judge")
        check_target(self.search, self.search.judge if self.strength == AUTO else "")

    def resolve(self, generator: Generator, open_code: OpenCode) -> Edit:
        """Look up the table, and ask CLIP which channels the text moves."""
        from editing.channels import channel_edit
        from editing.discover.text_channels import text_styles

        self.check("")
        check_judge(self.search.judge)
        styles, most, num = text_styles(
            generator, self.text, self.text_neutral, self.text_threshold, self.clip, self.text_table
        )
        attribute = self.search.judge
        said = {"text": self.text, "neutral": self.text_neutral, "threshold": self.text_threshold, "channels": num}
        moved = channel_edit(self.label, styles, said, self.strength, attribute, self.search)
        note = f"'{self.text}' moves {num} channels (relevance {most:.2f} at most)"

        def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
            ws, report = moved.apply(ws, render)
            return ws, {**report, "notes": [note]}

        return keeping(Edit(self.label, apply, moved.steady), self.keep, attribute, adds=moved.steady)
