"""What vLLM says about memory while it starts: log text → figures. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

GIB = 2**30

_BEGIN = re.compile(r"Initializing a V\d LLM engine \(v([^)\s]+)\)")
"""Once per start, before anything is measured (v1/engine/core.py)."""
_WEIGHTS = re.compile(r"Model loading took ([\d.]+) Gi?B\b")
_KV_AVAILABLE = re.compile(r"Available KV cache memory: (-?[\d.]+) GiB")
_KV_PINNED = re.compile(r"reserved ([\d.]+) GiB memory for KV Cache")
_KV_CPU = re.compile(r"\(([\d.]+)/[\d.]+\) GiB for KV cache")
_KV_TOKENS = re.compile(r"\bKV cache size: ([\d,]+) tokens")
_GRAPHS = re.compile(r"Graph capturing finished in [\d.]+ secs?, took (-?[\d.]+) GiB")
_CONSUMED = re.compile(r"Actual usage is ([\d.]+) GiB for consumed memory")
_PEAK = re.compile(r"([\d.]+) GiB for peak activation")


@dataclass(frozen=True, slots=True)
class StartFigures:
    """One start, bytes per rank; None: the log does not say. Of several ranks the one that took the most counts.

    vLLM rounds to hundredths of a GiB. `kv_bytes` is the KV cache as it came out: profiled, pinned, or on the CPU set.
    `consumed_bytes` are weights and what lies outside of PyTorch, `peak_bytes` the activations of the profiling run;
    a start with a pinned KV cache says neither.
    """

    vllm_version: str | None = None
    weights_bytes: int | None = None
    kv_bytes: int | None = None
    kv_tokens: int | None = None
    graphs_bytes: int | None = None
    consumed_bytes: int | None = None
    peak_bytes: int | None = None


def start_figures(log: str) -> StartFigures:
    """The figures of the last start in `log`; all None where it holds none."""
    begins = list(_BEGIN.finditer(log))
    if not begins:
        return StartFigures()
    text = log[begins[-1].start() :]
    kv = _most(_KV_AVAILABLE, text) or _most(_KV_PINNED, text) or _most(_KV_CPU, text)
    tokens = [int(found.replace(",", "")) for found in _KV_TOKENS.findall(text)]
    return StartFigures(
        vllm_version=begins[-1][1].partition("+")[0],
        weights_bytes=_most(_WEIGHTS, text),
        kv_bytes=kv,
        kv_tokens=min(tokens, default=None),
        graphs_bytes=_most(_GRAPHS, text),
        consumed_bytes=_most(_CONSUMED, text),
        peak_bytes=_most(_PEAK, text),
    )


def _most(pattern: re.Pattern[str], text: str) -> int | None:
    """The largest of all ranks, in bytes."""
    return max((round(float(found) * GIB) for found in pattern.findall(text)), default=None)
