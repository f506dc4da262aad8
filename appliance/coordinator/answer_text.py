"""Working and answer apart, while they stream. Pure.

Only the last separator of a text ends its working, and which one is the last shows at the end. So a separator and what
follows it are held back until another one comes (then it was working after all) or the text ends (then it is the
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
        self._held += text
        last = max(0, self._held.rfind(self.separator))
        working, self._held = self._held[:last], self._held[last:]
        return Pieces(working=working)

    def end(self) -> Pieces:
        """The text is over."""
        held, self._held = self._held, ""
        if self.separator and held.startswith(self.separator):
            return Pieces(working=self.separator, answer=held.removeprefix(self.separator).strip())
        return Pieces(answer=held.strip())
