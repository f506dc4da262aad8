"""Working and answer apart, while they stream. Pure.

Only the last separator of a text ends its working, and which one is the last shows at the end. So what follows a
separator is held back until another one comes (then it was working after all) or the text ends (then it is the
answer); no working can leak into the answer. A text without a separator is all answer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pieces:
    """What has become certain: more working, more of the answer; either may be empty."""

    working: str = ""
    answer: str = ""


class AnswerSplitter:
    """Takes a text in pieces. Without a separator every piece is answer at once."""

    def __init__(self, separator: str | None) -> None:
        self.separator = separator
        self._held = ""

    def push(self, text: str) -> Pieces:
        """The next piece of the text."""
        if not self.separator:
            return Pieces(answer=text)
        working, separator, self._held = (self._held + text).rpartition(self.separator)
        return Pieces(working=working + separator)

    def end(self) -> Pieces:
        """The text is over."""
        answer, self._held = self._held.strip() if self.separator else self._held, ""
        return Pieces(answer=answer)
