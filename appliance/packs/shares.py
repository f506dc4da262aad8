"""The places of one engine's batch, divided among the processes that send it calls. Pure.

Each process counts only its own calls in flight, so each is told how many it may have. A share may grow at once where
places are free; one that shrinks counts in full until its holder has confirmed the smaller one, so what all of them
together may send never exceeds the places by more than one call a holder (everybody has at least one place).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


def fair_shares(places: int, wanted: Mapping[str, int]) -> Mapping[str, int]:
    """Each gets what it wants as far as an equal division allows; what is left over is divided equally.

    At least one for each; together they are `places`, or as many as there are of them where that is more.
    """
    shares = dict.fromkeys(sorted(wanted), 1)
    left = places - len(shares)
    for ceiling in (wanted, dict.fromkeys(wanted, places)):
        open_to = [name for name in shares if shares[name] < ceiling[name]]
        while left > 0 and open_to:
            each = max(1, left // len(open_to))
            for name in open_to[: left if each == 1 else None]:
                more = min(each, ceiling[name] - shares[name], left)
                shares[name] += more
                left -= more
            open_to = [name for name in open_to if shares[name] < ceiling[name]]
    return shares


@dataclass(slots=True)
class _Holder:
    """`told` are shares by the version of the document that first had them, the one it goes by first."""

    told: list[tuple[int, int]]
    in_flight: int = 0
    wanted: int = 0

    @property
    def share(self) -> int:
        return self.told[-1][1]

    @property
    def committed(self) -> int:
        """The most that it may have in flight, for all that is known of it."""
        return max(self.in_flight, *(share for _, share in self.told))


@dataclass(slots=True)
class Places:
    """Of one engine. Versions are those of the documents that tell of the shares; `divide` is asked for a new one."""

    places: int
    _holders: dict[str, _Holder] = field(default_factory=dict)

    def share(self, name: str) -> int:
        """What `name` may have in flight."""
        return self._holders[name].share

    @property
    def holders(self) -> frozenset[str]:
        """Who has a share."""
        return frozenset(self._holders)

    @property
    def committed(self) -> int:
        """What all may have in flight together."""
        return sum(holder.committed for holder in self._holders.values())

    def heard(self, name: str, version: int, in_flight: int, wanted: int) -> None:
        """A holder goes by document `version` now."""
        holder = self._holders[name]
        holder.in_flight, holder.wanted = in_flight, max(wanted, in_flight)
        while len(holder.told) > 1 and holder.told[1][0] <= version:
            holder.told.pop(0)

    def divide(self, names: frozenset[str], version: int) -> bool:
        """Divide the places among `names`, to be told with document `version`; True when a share has changed.

        Nothing moves while everybody has what it wants and everything is given out.
        """
        gone = self._holders.keys() - names
        for name in gone:
            del self._holders[name]
        new = names - self._holders.keys()
        for name in new:
            self._holders[name] = _Holder([(version, 1)])
        holders = self._holders
        content = all(holder.wanted <= holder.share for holder in holders.values())
        if content and not new and sum(h.share for h in holders.values()) == max(self.places, len(holders)):
            return False
        before = {name: holder.share for name, holder in holders.items()}
        target = fair_shares(self.places, {name: holder.wanted for name, holder in holders.items()})
        for name, holder in holders.items():
            if target[name] < holder.share:
                holder.told.append((version, target[name]))
        for name, holder in holders.items():
            more = min(target[name] - holder.share, self.places - self.committed)
            if more > 0:
                holder.told.append((version, holder.share + more))
        return bool(new) or any(holder.share != before[name] for name, holder in holders.items())
