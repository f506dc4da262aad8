"""Kinds of numbers in the documents of this room: finite, and not below zero."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

DOCUMENT = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Of every part of a document: unknown keys, NaN and infinity are refused."""

Amount = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Part = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
