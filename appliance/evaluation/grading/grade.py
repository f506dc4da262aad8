"""What a grader says of an answer, and how the part of it is found that counts. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grade:
    """`score` from 0 (wrong) to 1 (right); `said` is the part of the answer that was graded, `reason` why."""

    score: float
    said: str = ""
    reason: str = ""


def extracted(answer: str, after: str | None, pattern: re.Pattern[str] | None) -> str:
    """What stands after the last `after`, and of that the last match of `pattern` (its first group, where it has one).

    Empty where the pattern does not match.
    """
    if after is not None:
        answer = answer.rpartition(after)[2]
    if pattern is not None:
        found = list(pattern.finditer(answer))
        if not found:
            return ""
        last = found[-1]
        answer = (last.group(1) if pattern.groups else last.group(0)) or ""
    return answer.strip()
