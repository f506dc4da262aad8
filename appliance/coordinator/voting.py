"""Majority among answers: which answers count as the same, when a majority is certain, and which answer wins. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from appliance.coordinator.prompt_set import AnswerForm

_LEAD_IN = re.compile(
    r"^\W*(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\b[\s:=*]*", re.I
)
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
_AROUND = " \t\n*_`\"'“”‘’$()[]"
_AFTER = ".,;:!?"


@dataclass(frozen=True, slots=True)
class Ballot:
    """What answer `number` (from 1) says. `key` is its answer, normalised; `logprob` (nats) that of all its tokens."""

    number: int
    key: str
    logprob: float = 0.0


def normalised(answer: str, form: AnswerForm = AnswerForm.WHOLE) -> str:
    """Answers that mean the same → the same text, as far as spelling goes.

    1. Of an answer with prose around it, the part that counts: the last `\\boxed{…}`, else the last line.
    2. JSON: keys sorted, no spaces.
    3. Otherwise letters in one case, spaces made one, quotes, marks and emphasis around it gone.
    4. Numbers: without thousands separators, leading plus and trailing zeros.
    """
    text = _that_counts(answer) if form is AnswerForm.LAST_LINE else answer
    text = text.strip()
    if text[:1] in ("{", "["):
        try:
            return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # prose that begins with a bracket
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    text = text.strip(_AROUND).rstrip(_AFTER + _AROUND).replace("−", "-")
    return _plain(text) if _NUMBER.fullmatch(text) else text


def winner(ballots: Sequence[Ballot]) -> tuple[Ballot, int]:
    """The first ballot of the most frequent answer, and its votes.

    Among answers with as many votes the one with the likeliest ballot wins, then the one that came first by number.
    Raises ValueError without ballots.
    """
    if not ballots:
        raise ValueError("no ballots")
    votes = Counter(ballot.key for ballot in ballots)
    likeliest = {key: max(b.logprob for b in ballots if b.key == key) for key in votes}
    chosen = min(ballots, key=lambda b: (-votes[b.key], -likeliest[b.key], b.number))
    return min((b for b in ballots if b.key == chosen.key), key=lambda b: b.number), votes[chosen.key]


def fewest_to_decide(keys: Sequence[str], left: int) -> int:
    """How many of the `left` answers to come could make the majority certain, if all of them joined the leader.

    0: no answer to come can change it any more. The leader must stay ahead when all others join the second.
    """
    first, second = (*(count for _, count in Counter(keys).most_common(2)), 0, 0)[:2]
    return min(left, max(0, (second + left - first) // 2 + 1))


def _that_counts(answer: str) -> str:
    """The last boxed expression, else the last line that is not empty, without words like `the answer is`."""
    if boxed := _boxed(answer):
        return boxed
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    return _LEAD_IN.sub("", lines[-1], count=1) if lines else ""


def _boxed(text: str) -> str:
    """What the last `\\boxed{…}` holds; empty where there is none, or no end of it."""
    _, found, rest = text.rpartition("\\boxed{")
    depth = 1 if found else 0
    for place, sign in enumerate(rest if found else ""):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth == 0:
            return rest[:place]
    return ""


def _plain(number: str) -> str:
    value = Decimal(number.replace(",", ""))
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if value == 0 else text
