"""What a head sees of a prompt: hashed words and word pairs, a few counts, and its embedding where it has one. Pure.

Hashing (Weinberger et al., 2009) needs no vocabulary, so nothing of any prompt is kept in a head. Numbers and codes
count by their shape, not by their value.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from math import log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

VERSION: Final = 1
"""Another one whenever a prompt's features change: a head holds for its own version only."""
HASHED: Final = 2_048
MOST_CHARS: Final = 2_400
"""Of a longer prompt its first and its last half of so many characters count, which bounds the time it takes."""

Vector = NDArray[np.float32]

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s]")
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
COUNTS: Final = (
    *("length", "numbers", "codes", "sentences", "questions", "lines", "commas", "code fences", "longest word"),
    *("different words", "upper case", "digits"),
)
"""Names of the counts, as an explanation shows them; they stand after the hashed features."""
SIZE: Final = HASHED + len(COUNTS)
"""Of the features of the text; an embedding stands after them."""


def features(text: str, embedding: Sequence[float] = ()) -> Vector:
    """A prompt as a vector of SIZE numbers and its embedding's; hashed part and embedding have length 1 each.

    (0 for an empty prompt.)
    """
    seen = part_seen(text)
    words = _WORD.findall(seen)
    places = [zlib.crc32(token.encode()) for token in _tokens(words)]
    vector = np.zeros(SIZE, dtype=np.float32)
    if places:
        signs = [1.0 if place & 0x8000_0000 else -1.0 for place in places]
        hashed = np.bincount([place % HASHED for place in places], weights=signs, minlength=HASHED)
        vector[:HASHED] = hashed / (float(np.sqrt(hashed @ hashed)) or 1.0)
    vector[HASHED:] = _counts(seen, words, len(text))
    if not len(embedding):
        return vector
    meant = np.asarray(embedding, dtype=np.float32)
    return np.concatenate([vector, meant / (float(np.sqrt(meant @ meant)) or 1.0)])


def part_seen(text: str) -> str:
    """What counts of a prompt: all of it, or the first and last half of MOST_CHARS."""
    half = MOST_CHARS // 2
    return text if len(text) <= MOST_CHARS else f"{text[:half]} {text[-half:]}"


def _tokens(words: list[str]) -> Iterator[str]:
    before = "^"
    for word in words:
        shape = _shape(word)
        yield shape
        yield f"{before} {shape}"
        before = shape


def _shape(word: str) -> str:
    if word[0].isdigit():
        return f"#{min(len(word), 5)}"
    if len(word) > 1 and word.isupper():
        return f"CODE{min(len(word), 8)}"
    return word.casefold()


def _counts(text: str, words: list[str], length: int) -> list[float]:
    letters = [word for word in words if word[0].isalpha()]
    return [
        log1p(length),
        log1p(sum(word[0].isdigit() for word in words)),
        log1p(sum(len(word) > 1 and word.isupper() for word in letters)),
        log1p(len(_SENTENCE.findall(text))),
        log1p(text.count("?")),
        log1p(text.count("\n")),
        log1p(text.count(",")),
        log1p(text.count("```")),
        log1p(max(map(len, letters), default=0)),
        len({word.casefold() for word in words}) / max(1, len(words)),
        sum(map(str.isupper, text)) / max(1, len(text)),
        sum(map(str.isdigit, text)) / max(1, len(text)),
    ]
