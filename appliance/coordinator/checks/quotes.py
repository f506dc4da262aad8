"""Quotations: every quoted passage of a result has to stand in the text that it was taken from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from appliance.coordinator.checks.finding import Finding

RULE = "quotes"
_QUOTED = re.compile(r"[\"“”„]([^\"“”„]+)[\"“”]|«([^»]+)»")
_OMISSION = re.compile(r"\[\s*(?:\.\.\.|…)\s*\]|\.\.\.|…")
_STYLES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'"})
_SHOWN_CHARS = 80


def check_quotes(result: str, sources: Mapping[str, str]) -> Finding:
    """Whether each quoted passage of `result` stands in one of `sources`, white space and quotation marks apart.

    A result without quotation marks is a passage itself. What an omission (…) parts may stand apart.
    """
    texts = [_plain(text) for text in sources.values()]
    passages = [first or second for first, second in _QUOTED.findall(result)] or [result]
    for passage in passages:
        pieces = [piece for part in _OMISSION.split(passage) if (piece := _plain(part).strip(" .,;:"))]
        if not pieces or not any(all(piece in text for piece in pieces) for text in texts):
            shown = passage if len(passage) <= _SHOWN_CHARS else f"{passage[: _SHOWN_CHARS - 1]}…"
            return Finding(RULE, f"this passage does not stand in {' or '.join(sources)} word for word: {shown}")
    return Finding(RULE)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).translate(_STYLES).split())
