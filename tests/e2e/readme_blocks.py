"""The README's code blocks, so that a test can run what a reader would."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def blocks(heading: str, language: str) -> list[str]:
    """The fenced blocks of one language below `## heading`, up to the next heading of that level."""
    text = README.read_text(encoding="utf-8")
    section = re.split(r"(?m)^## ", text.split(f"## {heading}\n", 1)[1], maxsplit=1)[0]
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", section)
