"""The documents of several packs → the engines of one fleet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import EngineFigures
from appliance.packs.document import PackDocument

SILENT = "its pack does not answer"
_LOST = frozenset({EngineState.READY, EngineState.WARMING, EngineState.DRAINING, EngineState.ASLEEP})
"""States that a pack which does not answer can't vouch for."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The last word of a pack; `silent`: it does not answer any more."""

    document: PackDocument
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """Engines of all packs under names of their own. `homes`: name → (address of its pack, its name there)."""

    engines: tuple[EngineStatus, ...] = ()
    figures: Mapping[str, EngineFigures] | None = None
    homes: Mapping[str, tuple[str, str]] | None = None


def merged(packs: Mapping[str, Heard], *, named: bool = True) -> Merged:
    """`packs` by address. Engines are called PACK/ENGINE, or just ENGINE where they are not `named` after their pack.

    Two packs of one name are told apart by their addresses, all but the one whose address comes first.
    """
    engines: list[EngineStatus] = []
    figures: dict[str, EngineFigures] = {}
    homes: dict[str, tuple[str, str]] = {}
    taken: set[str] = set()
    for address, heard in sorted(packs.items()):
        document = heard.document
        name = f"{document.pack}@{address}" if document.pack in taken else document.pack
        taken.add(name)
        prefix = f"{name}/" if named else ""
        for engine in document.engines:
            mine = f"{prefix}{engine.engine_id}"
            group = f"{prefix}{engine.turn_group}" if engine.turn_group else ""
            renamed = replace(engine, engine_id=mine, turn_group=group)
            engines.append(_lost(renamed) if heard.silent else renamed)
            homes[mine] = (address, engine.engine_id)
            if engine.engine_id in document.figures:
                figures[mine] = document.figures[engine.engine_id]
    return Merged(tuple(engines), figures, homes)


def _lost(engine: EngineStatus) -> EngineStatus:
    return replace(engine, state=EngineState.FAILED, detail=SILENT) if engine.state in _LOST else engine
