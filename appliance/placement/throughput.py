"""How fast an engine is, by the roofline: an estimate from published bandwidth and arithmetic, not a measurement.

Decoding reads the active weights and the KV cache once per step; prefill computes 2 × active parameters per token.
Real engines stay below the roof; the factors below are what is commonly reached, and are to be replaced by a profile of
one's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from appliance.domain.demand import RoleDemand
from appliance.domain.geometry import Experts, Geometry, expert_parameters
from appliance.domain.node import Accelerator

BANDWIDTH_SHARE = 0.6
ARITHMETIC_SHARE = 0.5
STEP_S = 0.002
"""Time of a step beside reading and computing: launches, scheduling, sampling."""
NVLINK_HOP_S = 12e-6
PCIE_HOP_S = 40e-6
"""Latency of one all-reduce per doubling of the ranks; two per layer."""

CARDS: dict[str, tuple[float, float]] = {
    "B200": (8.0e12, 2250e12),
    "H200": (4.8e12, 989e12),
    "H100 NVL": (3.9e12, 835e12),
    "H100 PCIE": (2.0e12, 756e12),
    "H100": (3.35e12, 989e12),
    "H20": (4.0e12, 148e12),
    "A100-SXM4-80GB": (2.039e12, 312e12),
    "A100 80GB": (1.935e12, 312e12),
    "A100": (1.555e12, 312e12),
    "L40S": (864e9, 362e12),
    "L40": (864e9, 181e12),
    "L4": (300e9, 121e12),
    "A10": (600e9, 125e12),
    "A30": (933e9, 165e12),
    "A40": (696e9, 150e12),
    "A6000": (768e9, 155e12),
    "6000 ADA": (960e9, 364e12),
    "RTX 5090": (1792e9, 210e12),
    "RTX 4090": (1008e9, 165e12),
    "RTX 3090": (936e9, 71e12),
    "T4": (320e9, 65e12),
    "V100": (900e9, 125e12),
}
"""Part of the product name → bytes per second and dense 16-bit operations per second, from the makers' data sheets."""
UNKNOWN_CARD = (300e9, 60e12)
"""A modest card: an unknown name shall not promise much."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one device: bytes per second, operations per second."""

    bandwidth_bytes_s: float
    flops: float


def speed_of(device: Accelerator) -> Speed:
    """What the inventory declares, else what the name says; a MIG instance has its slices' share."""
    name = device.name.upper()
    found = max((key for key in CARDS if key in name), key=len, default="")
    bandwidth, flops = CARDS.get(found, UNKNOWN_CARD)
    compute, memory = _slices(name) if device.parent else (1.0, 1.0)
    return Speed(device.bandwidth_bytes_s or bandwidth * memory, device.flops or flops * compute)


def _slices(name: str) -> tuple[float, float]:
    """`MIG 3g.20gb` of seven compute slices; its share of the memory's eight follows the profile."""
    for compute, memory in ((7, 8), (4, 4), (3, 4), (2, 2), (1, 1)):
        if f"{compute}G." in name:
            return compute / 7, memory / 8
    return 1 / 7, 1 / 8


@dataclass(frozen=True, slots=True)
class Pace:
    """An engine's speeds: seconds per prompt token, and what a decode step is made of."""

    prefill_s: float
    fixed_step_s: float
    weights_s: float
    experts_s: float
    expert_share: float
    kv_token_s: float
    token_s: float

    def step_s(self, sequences: float, tokens_each: float) -> float:
        """One decode step of a batch: the slower of reading and computing. More sequences visit more experts."""
        visited = 1 - (1 - self.expert_share) ** sequences if self.expert_share else 0.0
        reading = self.weights_s + self.experts_s * visited + self.kv_token_s * sequences * tokens_each
        return self.fixed_step_s + max(reading, self.token_s * sequences)

    def call_s(self, call: RoleDemand, sequences: float) -> float:
        """Time of the devices that one call takes when `sequences` run at once."""
        length = call.prompt_tokens + call.completion_tokens / 2
        decode = call.completion_tokens * self.step_s(sequences, length) / sequences
        return call.prompt_tokens * self.prefill_s + decode


def pace(
    geometry: Geometry, weights_bytes: int, kv_token_bytes: float, speed: Speed, ranks: int, *, nvlink: bool
) -> Pace:
    """The roofline of one engine. `weights_bytes` and `kv_token_bytes` are per rank."""
    bandwidth, flops = speed.bandwidth_bytes_s * BANDWIDTH_SHARE, speed.flops * ARITHMETIC_SHARE
    routed, active = _routed_parameters(geometry)
    every = geometry.shape_parameters
    hop = (NVLINK_HOP_S if nvlink else PCIE_HOP_S) * log2(ranks) if ranks > 1 else 0.0
    routed_bytes = weights_bytes * routed / every
    token_s = 2 * (every - routed + routed * active) / ranks / flops
    return Pace(
        prefill_s=token_s * (1 + (0.05 if nvlink else 0.25) * log2(ranks)),
        fixed_step_s=STEP_S + 2 * geometry.layers * hop,
        weights_s=(weights_bytes - routed_bytes) / bandwidth,
        experts_s=routed_bytes / bandwidth,
        expert_share=active if routed else 0.0,
        kv_token_s=kv_token_bytes / bandwidth,
        token_s=token_s,
    )


def _routed_parameters(geometry: Geometry) -> tuple[float, float]:
    """Parameters in routed experts, and the share of them that one token visits."""
    routed = visited = 0.0
    for group in geometry.groups:
        block = group.feed_forward
        if isinstance(block, Experts):
            one = expert_parameters(block, geometry.hidden_size)
            routed += group.count * block.experts * one
            visited += group.count * block.experts_per_token * one
    return routed, (visited / routed if routed else 0.0)
