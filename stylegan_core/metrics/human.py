"""Human evaluation: pairs of a real and a generated picture, the answers of a person, and the rate they amount to.

Two alternatives, forced choice: of each pair one is chosen, so that guessing gives 50 % (see docs/metrics.md). No
torch here, so that the command line can read the options quickly."""

import dataclasses
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.files import check_file_place, write_text
from stylegan_core.options import option

QUESTIONS = {
    "real": "Which of the two is the real, unedited photograph?",
    "better": "Which of the two do you prefer?",
}
SIDES = ("left", "right")
_FORMAT = "invertigo human evaluation 1"


@dataclass(frozen=True)
class HumanConfig:
    """Which pairs a person is shown, and where the answers go."""

    HEADING: ClassVar[str] = "The pairs"

    out: str = option(
        "answers.json", "file of the answers; the same command goes on where it stopped", check=check_file_place
    )
    pairs: int = option(50, "pairs to show", least=1)
    ask: str = option("real", "real: which is the photograph; better: which is preferred", choices=tuple(QUESTIONS))
    matched: bool = option(False, "pair files of one name, as before and after an edit; else at random")
    resolution: int = option(512, "pixels at most: both of a pair are shown at the smaller one's size")
    psi: float = option(1.0, "truncation of a generator's samples")
    seed: int = option(0, "of pairs, sides and samples")


@dataclass(frozen=True)
class Pair:
    """A question: two pictures by name, and where the real one stands."""

    real: str
    generated: str
    real_side: str  # left or right


@dataclass(frozen=True)
class Answer:
    """What a person said of a pair."""

    real: str
    generated: str
    real_side: str
    chosen: str  # left or right
    seconds: float  # from the picture's being sent to the answer

    @property
    def took_generated(self) -> bool:
        """Whether the generated picture was chosen: taken for real, or preferred."""
        return self.chosen != self.real_side


@dataclass(frozen=True)
class Rate:
    """A share of answers and the range that its true value lies in, at 95 % confidence."""

    num: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.num / self.of


def rate(num: int, of: int, confidence: float = 0.95) -> Rate:
    """Estimate a share from `num` of `of` answers, with Wilson's score interval (Wilson 1927).

    Raises `ConfigError` where there is no answer, or more chosen than asked."""
    if of < 1 or not 0 <= num <= of:
        raise ConfigError(f"{num} of {of} answers make no rate; answer a pair or more first")
    from scipy.stats import binomtest

    interval = binomtest(num, of).proportion_ci(confidence, method="wilson")
    return Rate(num, of, float(interval.low), float(interval.high))


def plan_pairs(reals: Sequence[str], generated: Sequence[str], config: HumanConfig) -> list[Pair]:
    """Choose which pictures meet, and which stands left, by the seed alone.

    Each picture is shown once before any is shown again, and more pairs only go on with the same ones. Matched pairs
    have the same name but for folder and suffix. Raises `DatasetError` where there are none."""
    if not reals or not generated:
        raise DatasetError("no pictures on one of the two sides; give a folder or zip that holds some")
    sources = {"real": reals, "generated": generated}
    orders = {name: random.Random(f"{config.seed} {name}") for name in (*sources, "sides")}
    if config.matched:
        couples = _matched(reals, generated)
        orders["real"].shuffle(couples)
        couples = couples[: config.pairs]
    else:
        ours, theirs = (_rounds(names, config.pairs, orders[side]) for side, names in sources.items())
        couples = list(zip(ours, theirs, strict=True))
    return [Pair(real, fake, orders["sides"].choice(SIDES)) for real, fake in couples]


def _rounds(names: Sequence[str], num: int, rng: random.Random) -> list[str]:
    drawn: list[str] = []
    while len(drawn) < num:
        drawn += rng.sample(list(names), len(names))
    return drawn[:num]


def _matched(reals: Sequence[str], generated: Sequence[str]) -> list[tuple[str, str]]:
    by_stem: dict[str, str] = {}
    for name in generated:
        stem = PurePosixPath(name).stem
        if stem in by_stem:
            raise DatasetError(
                f"{by_stem[stem]} and {name} have one name; rename one, so that it is clear which to pair"
            )
        by_stem[stem] = name
    couples = [(name, by_stem[PurePosixPath(name).stem]) for name in reals if PurePosixPath(name).stem in by_stem]
    if not couples:
        raise DatasetError(
            f"no two files of one name ({reals[0]}, {generated[0]}, ...); name them alike, or leave out --matched"
        )
    return couples


class Ballot:
    """The pairs and the answers so far, which are on disk as soon as they are given.

    Raises `ConfigError` where the file holds the answers to other questions."""

    def __init__(self, pairs: Sequence[Pair], path: str | Path, settings: dict[str, Any]) -> None:
        self.pairs, self.path, self.settings = list(pairs), Path(path), settings
        self.answers: list[Answer] = []
        if self.path.exists():
            theirs, self.answers = read_answers(self.path)
            changed = [name for name, value in settings.items() if theirs.get(name) != value]
            asked = [(a.real, a.generated, a.real_side) for a in self.answers]
            if changed or asked != [dataclasses.astuple(pair) for pair in self.pairs[: len(asked)]]:
                what = ", ".join(changed) or "its pictures"
                raise ConfigError(f"{path} has the answers to other pairs ({what} differ); give another --out")
        self._shown = time.monotonic()

    @property
    def index(self) -> int:
        """Which pair is next, from 0."""
        return len(self.answers)

    @property
    def finished(self) -> bool:
        """Whether all pairs are answered."""
        return self.index >= len(self.pairs)

    def show(self) -> Pair:
        """The next pair; the clock starts."""
        self._shown = time.monotonic()
        return self.pairs[self.index]

    def answer(self, index: int, chosen: str) -> bool:
        """Write the answer to pair `index`; a second one to the same pair (a double click) is not taken: False."""
        if chosen not in SIDES:
            raise ConfigError(f"{chosen!r} was chosen; expected left or right")
        if index != self.index or self.finished:
            return False
        pair = self.pairs[index]
        seconds = round(time.monotonic() - self._shown, 2)
        given = [*self.answers, Answer(pair.real, pair.generated, pair.real_side, chosen, seconds)]
        answers = [dataclasses.asdict(answer) for answer in given]
        content = {"format": _FORMAT, "settings": self.settings, "answers": answers}
        write_text(self.path, json.dumps(content, indent=1) + "\n")
        self.answers = given
        return True


def read_answers(path: str | Path) -> tuple[dict[str, Any], list[Answer]]:
    """Read a file of answers: its settings and the answers. Raises `ConfigError` for any other file."""
    names = [field.name for field in dataclasses.fields(Answer)]
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']!r}")
        answers = [Answer(**{name: answer[name] for name in names}) for answer in content["answers"]]
        for answer in answers:
            if answer.chosen not in SIDES or answer.real_side not in SIDES:
                raise ValueError("an answer that is neither left nor right")
            float(answer.seconds)
        settings = dict(content["settings"])
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a file of answers") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: no answers of `human-eval` ({error}); give another file") from error
    return settings, answers


def report(files: Sequence[tuple[str, dict[str, Any], Sequence[Answer]]]) -> list[str]:
    """Write the rates of files (name, settings, answers), one a line, and of all together where there are several.

    Raises `ConfigError` where the files do not ask the same, or nothing is answered."""
    asked = {(str(settings.get("ask")), bool(settings.get("matched"))) for _, settings, _ in files}
    if len(asked) > 1:
        raise ConfigError("the files answer different questions (--ask, --matched); report them one by one")
    (ask, _) = asked.pop()
    every = [(name, list(answers)) for name, _, answers in files]
    if len(every) > 1:
        every.append(("all", [answer for _, answers in every for answer in answers]))
    lines = [_line(name, answers, ask) for name, answers in every]
    chance = "50 % is what guessing gives" if ask == "real" else "50 % is no preference"
    people = "; answers of one person are not independent, so the true range of all is wider" if len(every) > 1 else ""
    return [*lines, f"(95 % confidence, Wilson's interval; {chance}{people})"]


def _line(name: str, answers: Sequence[Answer], ask: str) -> str:
    found = rate(sum(answer.took_generated for answer in answers), len(answers))
    what = "taken for real" if ask == "real" else "preferred"
    seconds = sorted(answer.seconds for answer in answers)[len(answers) // 2]
    return (
        f"{name}: generated or edited {what} {found.num} of {found.of} times, {found.value:.1%} "
        f"[{found.low:.1%}, {found.high:.1%}], {seconds:.1f} s a pair (median)"
    )
