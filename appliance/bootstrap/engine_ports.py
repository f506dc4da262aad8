"""Ports of engines: each keeps its own while it runs, whatever else is planned."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from appliance.engines.ports import PortClaim, claim_ports


class EnginePorts:
    """Ports of `host` from `first` on, claimed as they are needed and held until `close`."""

    def __init__(self, first: int, host: str = "127.0.0.1") -> None:
        self._first = first
        self._host = host
        self._claims: list[PortClaim] = []
        self._given: dict[str, int] = {}
        self._free: list[int] = []

    def of(self, engine_ids: Sequence[str], present: Collection[str] = ()) -> tuple[int, ...]:
        """The ports of these engines, in their order; those of others that are not `present` any more are free again.

        Raises EngineStartError where there are not enough.
        """
        for engine_id in [one for one in self._given if one not in engine_ids and one not in present]:
            self._free.append(self._given.pop(engine_id))
        new = [engine_id for engine_id in engine_ids if engine_id not in self._given]
        if len(new) > len(self._free):
            claim = claim_ports(self._first, len(new) - len(self._free), self._host)
            self._claims.append(claim)
            self._free += claim.ports
        for engine_id in new:
            self._given[engine_id] = self._free.pop(0)
        return tuple(self._given[engine_id] for engine_id in engine_ids)

    def close(self) -> None:
        """Others may have them."""
        for claim in self._claims:
            claim.close()
