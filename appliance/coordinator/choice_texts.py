"""The texts of one answer while they come, apart by choice: a request may want several. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ChoiceTexts:
    """Pieces by choice."""

    _pieces: dict[int, list[str]] = field(default_factory=dict)

    def add(self, index: int, piece: str) -> None:
        """One more piece of a choice."""
        self._pieces.setdefault(index, []).append(piece)

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()

    def of(self, index: int) -> str:
        """One choice so far."""
        return "".join(self._pieces.get(index, ()))

    @property
    def whole(self) -> str:
        """All of it; several choices stand one below the other."""
        return "\n\n".join("".join(pieces) for _, pieces in sorted(self._pieces.items()))
