"""The style of every report's page, and of a picture that stands by itself."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def style() -> str:
    """Style sheet, to be put into a page's head."""
    return files(__package__).joinpath("style.css").read_text(encoding="utf-8")


def standing_alone(svg: str) -> str:
    """The picture with the style in it, for a file of its own."""
    head, closing, rest = svg.partition(">")
    return f"{head}{closing}<style>{style()}</style>{rest}"
