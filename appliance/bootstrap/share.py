"""Which of several workers a request path is, and what follows from it for what they keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.config import Settings


@dataclass(frozen=True, slots=True)
class Share:
    """Worker `number` of `workers`, counted from 0. A journal belongs to one process; all else is shared."""

    number: int = 0
    workers: int = 1

    @property
    def first(self) -> bool:
        """It also does what is to be done once for all of them."""
        return self.number == 0

    def journal_file(self, settings: Settings) -> Path:
        """Its own."""
        return _journal(settings, self.number)

    def left_journals(self, settings: Settings) -> tuple[Path, ...]:
        """For the first one: journals of workers that there are no more."""
        whole = _journal(settings, 0)
        if not self.first or not whole.parent.is_dir():
            return ()
        own = {_journal(settings, number) for number in range(self.workers)}
        return tuple(sorted(set(whole.parent.glob(f"{whole.stem}-[0-9]*{whole.suffix}")) - own))


ALONE = Share()


def _journal(settings: Settings, number: int) -> Path:
    file = settings.below_data_dir(settings.ledger.journal_file)
    return file if number == 0 else file.with_name(f"{file.stem}-{number}{file.suffix}")
