"""Lengths in tokens, and texts about as long. Pure."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

_TEXT: Final = (
    "about above after again along also always another answer around because before begin below between book both "
    "bring build carry change children city close come country cut different does each early earth enough even every "
    "example eye face family far father feel few find first follow food form found four friend give good great grow "
    "hand hard head hear help here high home house idea important keep kind know land large last late learn leave "
    "left letter life light line list little live long look made make many mean men might mile mother mountain move "
    "much must name near need never next night number often old once only open other over own page paper part people "
    "picture place plant play point question quick quite read really right river run same saw say school sea second "
    "seem sentence set should show side small some sometimes song soon sound spell stand start state still stop story "
    "study such take talk tell thing think thought three through time together took tree try turn under until use "
    "very walk want watch water way well went where while white why will without word work world would write year "
    "young"
)
_WORDS: Final = tuple(_TEXT.split())


class Lengths(BaseModel):
    """Tokens: always `mean`, or drawn around it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: Annotated[float, Field(gt=0)]
    stdev: Annotated[float, Field(ge=0)] = 0.0
    shape: Literal["normal", "lognormal"] = "normal"
    """What they are drawn from; lognormal has a long tail, as real prompts have."""
    least: Annotated[int, Field(ge=1)] = 1
    most: Annotated[int, Field(ge=1)] = 1_000_000
    """Draws below `least` or above `most` become these."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError("least is more than most")
        return self

    def draw(self, chance: np.random.Generator) -> int:
        """One length."""
        if self.stdev == 0:
            drawn = self.mean
        elif self.shape == "normal":
            drawn = chance.normal(self.mean, self.stdev)
        else:
            variance = np.log1p((self.stdev / self.mean) ** 2)
            drawn = chance.lognormal(np.log(self.mean) - variance / 2, np.sqrt(variance))
        return int(min(max(round(drawn), self.least), self.most))


def text(tokens: float, chance: np.random.Generator, *, tokens_per_word: float) -> str:
    """Plain English words, as many as take about so many tokens."""
    count = max(1, round(tokens / tokens_per_word))
    return " ".join(_WORDS[at] for at in chance.integers(0, len(_WORDS), size=count))
