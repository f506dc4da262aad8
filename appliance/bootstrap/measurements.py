"""What engines measured at their starts: kept for the next plan, and compared with this one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from appliance.bootstrap.calibrations import calibrations_file, keep_calibration, read_calibrations
from appliance.bootstrap.lineup import CPU_CARD, Lineup, start_key, start_shape
from appliance.domain.engine import Device, EngineSpec
from appliance.domain.gpu import Card
from appliance.engines.start_log import StartFigures
from appliance.placement.calibration import Calibration
from appliance.placement.measured import NOISE_BYTES, Measured, cpu_calibration, gpu_calibration, tells_more
from appliance.placement.memory import EngineMemory, engine_memory

GIB = 2**30

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Planned:
    """An engine, and what it should take (bytes per GPU; None: nobody reckoned it)."""

    spec: EngineSpec
    total_bytes: int | None
    weights_bytes: int | None


class Measurements:
    """The sampler's judge. Keeps a start's figures, and again when the same engine is later seen to take more."""

    def __init__(self, lineup: Lineup, specs: Iterable[EngineSpec]) -> None:
        self._lineup = lineup
        self._file: Path = calibrations_file(lineup.settings.data_dir)
        self._planned: dict[str, _Planned] = {}
        self.expect(lineup, specs)
        self._kept = dict(read_calibrations(self._file))
        self._warned: set[str] = set()

    def expect(self, lineup: Lineup, specs: Iterable[EngineSpec]) -> None:
        """From now on engines are compared with this plan; those that are still leaving with the one before."""
        self._lineup = lineup
        self._planned = {**self._planned, **{spec.engine_id: _planned(lineup, spec) for spec in specs}}

    def __call__(self, engine_id: str, start: StartFigures, measured_bytes: int | None) -> str:
        """Keep what is new; a remark where the engine takes more than planned."""
        planned = self._planned[engine_id]
        calibration = self._calibration(planned.spec, start, measured_bytes)
        if calibration is not None and tells_more(calibration, self._kept.get(calibration.key)):
            self._kept[calibration.key] = calibration
            keep_calibration(self._file, calibration)
        remark = _remark(planned, start, measured_bytes)
        if remark and engine_id not in self._warned:
            self._warned.add(engine_id)
            _log.warning("an engine takes more memory than planned", engine=engine_id, remark=remark)
        return remark

    def _calibration(self, spec: EngineSpec, start: StartFigures, measured_bytes: int | None) -> Calibration | None:
        """None where the start did not say enough to be told from others."""
        if start.vllm_version is None:
            return None
        entry = self._lineup.entry(spec.model_id)
        wanted = start_shape(entry, spec.tensor_parallel_size, start.vllm_version)
        measured = Measured(spec.kv_cache_memory_bytes, start.weights_bytes, start.graphs_bytes, measured_bytes)
        if spec.device is Device.CPU:
            return cpu_calibration(start_key(entry, wanted, CPU_CARD), measured)
        card, geometry = self._lineup.cards.get(spec.gpu_ids[0]), entry.model.geometry
        if card is None or geometry is None:
            return None

        def memory(max_num_seqs: int, card: Card = card) -> EngineMemory:
            return engine_memory(geometry, replace(wanted, max_num_seqs=max_num_seqs), card)

        key = start_key(entry, wanted, card)
        return gpu_calibration(key, measured, memory(entry.max_num_seqs), memory(spec.max_num_seqs))


def _planned(lineup: Lineup, spec: EngineSpec) -> _Planned:
    engines = lineup.plan.engines if lineup.plan is not None else ()
    weights = next((engine.weights_bytes for engine in engines if engine.engine_id == spec.engine_id), 0)
    return _Planned(spec, lineup.planned_bytes(spec), weights or None)


def _remark(planned: _Planned, start: StartFigures, measured_bytes: int | None) -> str:
    """Where the whole is known it counts, else the weights that the log tells of."""
    for what, now, then in (
        ("memory", measured_bytes, planned.total_bytes),
        ("weights", start.weights_bytes, planned.weights_bytes),
    ):
        if now is not None and then is not None and now > then + NOISE_BYTES:
            return (
                f"takes {now / GIB:.2f} GiB of {what}, {(now - then) / GIB:.2f} GiB more than planned; "
                "the next plan counts it"
            )
    return ""
