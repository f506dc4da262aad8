"""Sentence templates by family: `[a|b]` is a choice, `{n}` a slot; each group has training and held-out templates."""

import random
import re
from collections.abc import Mapping
from typing import Literal

Wording = Literal["seen", "unseen"]
Group = tuple[tuple[str, ...], tuple[str, ...]]
"""Templates for training, and templates never used in training."""

CHOICE = re.compile(r"\[([^\[\]]*)\]")


def expand(template: str, rng: random.Random) -> str:
    """Takes one alternative of each `[a|b]`."""
    return CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)


def say(group: Group, wording: Wording, rng: random.Random, slots: Mapping[str, object]) -> str:
    """One sentence of a group."""
    template = rng.choice(group[0] if wording == "seen" else group[1])
    return expand(template, rng).format_map(slots)
