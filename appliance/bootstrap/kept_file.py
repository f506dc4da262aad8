"""A JSON file of the data directory that keeps one entry for each key, in place of earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from appliance.bootstrap.data_dir import write_whole
from appliance.errors import ConfigError

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class KeptFile(Generic[Entry]):
    """`what` its entries are called in an error, and the command that makes them `anew`."""

    entries: TypeAdapter[tuple[Entry, ...]]
    key: Callable[[Entry], Hashable]
    what: str
    anew: str

    def read(self, path: Path) -> tuple[Entry, ...]:
        """All of them; none where there is no file. Raises ConfigError for one that can't be read."""
        try:
            return self.entries.validate_json(path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError):
            raise ConfigError(
                f"{path}: {self.what} can't be read; make them anew with `{self.anew}` after moving this file away"
            ) from None

    def keep(self, path: Path, made: Iterable[Entry]) -> None:
        """Add some, each in place of an earlier one of the same key. Blocks. Raises ConfigError."""
        kept = {self.key(found): found for found in (*self.read(path), *made)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, self.entries.dump_json(tuple(kept.values()), indent=2))
        except OSError as error:
            raise ConfigError(f"{path}: can't be written: {error.strerror}; set another data_dir") from None
