"""Heads on disk: safetensors beside a JSON card, and one small file that says which of them counts.

Below one directory: `ID/head.safetensors`, `ID/card.json` and `standing.json`. Every file is replaced in one step, so
a process that is killed leaves the old or the new state, never half of one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from appliance.bootstrap.data_dir import write_whole
from appliance.errors import ConfigError
from appliance.learning.features import VERSION as FEATURES_VERSION
from appliance.learning.head import Card, Head

MOST_BYTES: Final = 1_000_000
CARD_VERSION: Final = 1
_WEIGHTS, _CARD, _STANDING = "head.safetensors", "card.json", "standing.json"


@dataclass(frozen=True, slots=True)
class Standing:
    """Ids of heads: the promoted one, the one before it, and the newest candidate. `off` says why none decides."""

    promoted: str | None = None
    previous: str | None = None
    candidate: str | None = None
    off: str = ""


@dataclass(frozen=True, slots=True)
class KeptHead:
    """A head with its id and card."""

    head_id: str
    head: Head
    card: Card


_CARDS, _STANDINGS = TypeAdapter(Card), TypeAdapter(Standing)


class HeadFiles:
    """The heads below one directory, which is made when the first one is kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def keep(self, head: Head, card: Card) -> str:
        """Write a head as the candidate; its id. Raises ConfigError where it is larger than MOST_BYTES."""
        tensors = {"weights": head.weights, "bias": head.bias, "mean": head.mean, "scale": head.scale}
        content = save_tensors(tensors)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"the head takes {len(content):,} bytes, more than {MOST_BYTES:,}; use fewer arms")
        head_id = sha256(content + _CARDS.dump_json(card)).hexdigest()[:12]
        place = self.directory / head_id
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / _WEIGHTS, content)
        write_whole(place / _CARD, orjson.dumps(asdict(card), option=orjson.OPT_INDENT_2))
        self._stand(replace(self.standing(), candidate=head_id))
        return head_id

    def read(self, head_id: str) -> KeptHead:
        """One head. Raises ConfigError where it is not there, broken, or of another version of the features."""
        place = self.directory / head_id
        try:
            card = _CARDS.validate_json((place / _CARD).read_bytes())
            tensors = load_tensors((place / _WEIGHTS).read_bytes())
            head = Head(card.arms, tensors["weights"], tensors["bias"], tensors["mean"], tensors["scale"])
            if bool(head.embedding_size) is not bool(card.embedder):
                raise ValueError("its card does not say by which model it takes embeddings")
        except (OSError, ValidationError, SafetensorError, KeyError, ValueError) as error:
            raise ConfigError(f"{place}: is no head that can be used ({_short(error)}); train another one") from None
        if (card.version, card.features) != (CARD_VERSION, FEATURES_VERSION):
            raise ConfigError(f"{place}: was made by a version with other features; train another one")
        return KeptHead(head_id, head, card)

    def standing(self) -> Standing:
        """Which heads count. Raises ConfigError where the file is broken."""
        path = self.directory / _STANDING
        try:
            return _STANDINGS.validate_json(path.read_bytes())
        except FileNotFoundError:
            return Standing()
        except (OSError, ValidationError) as error:
            raise ConfigError(f"{path}: can't be read ({_short(error)}); move it away to have no head decide") from None

    def promote(self, head_id: str) -> Standing:
        """Let a head decide; the one that did so far can be rolled back to."""
        before = self.standing()
        previous = before.promoted if before.promoted != head_id else before.previous
        return self._stand(Standing(head_id, previous, before.candidate))

    def roll_back(self) -> Standing:
        """Let the head before the promoted one decide again, or none where there was none."""
        before = self.standing()
        if before.promoted is None:
            raise ConfigError(f"{self.directory}: no head is promoted; there is nothing to roll back")
        return self._stand(Standing(before.previous, None, before.candidate))

    def turn_off(self, reason: str) -> Standing:
        """Let no head decide until one is promoted again."""
        return self._stand(replace(self.standing(), off=reason))

    def _stand(self, standing: Standing) -> Standing:
        self.directory.mkdir(parents=True, exist_ok=True)
        write_whole(self.directory / _STANDING, _STANDINGS.dump_json(standing, indent=2))
        return standing


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
