"""How fast the models of a lineup may be, before any call was measured: the forecast begins with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from appliance.bootstrap.lineup import Lineup
from appliance.bootstrap.planning import dtype_bytes, with_geometry
from appliance.coordinator.statistics import ModelPrior
from appliance.domain.engine import Device
from appliance.domain.geometry import Geometry
from appliance.domain.gpu import Card
from appliance.domain.node import Accelerator
from appliance.domain.placement import PoolEntry
from appliance.placement.kv_cache import kv_element_bytes, kv_layout, layer_kinds
from appliance.placement.throughput import pace, speed_of

_HOST_BYTES_PER_S = 10e9
"""Memory bandwidth that a few threads of a plain processor get."""
_HOST_STEP_S = 0.01
"""Of a step on the CPU, beside reading the weights."""
_CARD_BYTES_PER_S = 600e9
_CARD_STEP_S = 0.005
"""The same of a card that is not known, somewhere between the small and the large ones."""
_PREFILL_BATCH = 16
"""Prompt tokens on the CPU take so many times less than generated ones."""
_TYPICAL_TOKENS = 1000


def model_priors(lineup: Lineup) -> Mapping[str, ModelPrior]:
    """By model id: the roofline of the card where geometry and card are known, else a guess from the weights."""
    return {entry.model.model_id: _prior(lineup, entry) for entry in lineup.entries}


def _prior(lineup: Lineup, entry: PoolEntry) -> ModelPrior:
    geometry = with_geometry(entry.model, lineup.settings.models.store / PurePath(entry.model.model_id)).geometry
    token_bytes = None if geometry is None else _kv_token_bytes(geometry, dtype_bytes(entry.dtype))
    card = next(iter(lineup.cards.values()), None)
    if lineup.device is Device.CUDA and geometry is not None and card is not None and token_bytes is not None:
        return _roofline(entry, geometry, token_bytes, card)
    if lineup.device is Device.CUDA:
        token_s = _CARD_STEP_S + entry.weights_bytes / entry.tensor_parallel_size / _CARD_BYTES_PER_S
    else:
        token_s = _HOST_STEP_S + entry.weights_bytes / _HOST_BYTES_PER_S
    return ModelPrior(token_s / _PREFILL_BATCH, token_s, token_bytes, "a guess from the size of the weights")


def _roofline(entry: PoolEntry, geometry: Geometry, token_bytes: float, card: Card) -> ModelPrior:
    """Of the first card, alone: cards of one machine seldom differ, and what is learned soon replaces it."""
    ranks = entry.tensor_parallel_size
    speed = speed_of(Accelerator("", card.name, card.total_bytes))
    found = pace(geometry, entry.weights_bytes // ranks, token_bytes / ranks, speed, ranks, nvlink=ranks > 1)
    return ModelPrior(found.prefill_s, found.step_s(1, _TYPICAL_TOKENS), token_bytes, f"the roofline of {card.name}")


def _kv_token_bytes(geometry: Geometry, element_bytes: int) -> float:
    kinds = layer_kinds(geometry, kv_element_bytes("auto", element_bytes), element_bytes, 1, windows=True)
    return kv_layout(kinds).bytes_per_token
