"""The toolkit's sentences in the page's words: what commands call an option is a control here."""

import re

# Options as sentences name them, and what they are called on the page; the longer come first.
CONTROLS = (
    (r"or --no-align if the picture already is an aligned face", 'or untick "Find the faces" if it is an aligned face'),
    (r"use --generator with the first, or", "load that one under Generator, or"),
    (r"; name it with --photo", ""),
    (r"(?:free some space or )?choose another --out(?: or free some space)?", "free some space on its disk"),
    (r"\(--mask leaves it out\)", ""),
    (r"--faces all for both, --faces face0 to leave it so", 'tick those that you want under "Faces to invert"'),
    (r"(?:use )?--method (\w+)", r'choose the method \1 under "How to search"'),
    (r"(?:use )?--space (\S+)", r'the latent space \1 (under "How to search")'),
    (r"--drag\b", "the points"),
    (r"--set\b", "the dials"),
    (r"--region\b", '"Change only"'),
    (r"--paste\b", '"Paste back by"'),
    (r"--faces\b", '"Faces to invert"'),
    (r"--generator\b", "the generator"),
    (r"--transfer\b", "the direction"),
    (r"--([a-z][a-z-]*)", r"the option \1"),
)


def page_words(text: str) -> str:
    """Return a sentence of the toolkit as the page says it; commands in backticks stay as they are."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _translated(part) for part in parts)


def _translated(text: str) -> str:
    for option, said in CONTROLS:
        text = re.sub(option, said, text)
    return text
