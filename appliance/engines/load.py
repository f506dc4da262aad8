"""What an engine's own /metrics say of its work."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

import aiohttp

from appliance.domain.engine import EngineStatus
from appliance.engines.paths import url_of

_SAMPLE = re.compile(r"^(vllm:\w+|process_cpu_seconds_total)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)
_KV_TOKENS = re.compile(r'kv_cache_size_tokens="(\d+)"')
TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """Figures of one moment; None: the engine does not say. `generated_tokens` counts from its start.

    `kv_used_share` is that of the fullest engine core. `server_cpu_s` are processor seconds of the API server.
    """

    running: int | None = None
    waiting: int | None = None
    generated_tokens: int | None = None
    kv_tokens: int | None = None
    kv_used_share: float | None = None
    server_cpu_s: float | None = None


def load_of(metrics: str) -> EngineLoad:
    """Prometheus' text of one vLLM server → its load; several engine cores behind it are added up. Pure."""
    sums: dict[str, float] = {}
    kv_tokens: int | None = None
    kv_used: float | None = None
    for name, labels, value in _SAMPLE.findall(metrics):
        try:
            figure = float(value)
        except ValueError:
            continue
        sums[name] = sums.get(name, 0.0) + figure
        if name == "vllm:kv_cache_usage_perc" and figure == figure:
            kv_used = max(kv_used or 0.0, min(1.0, figure))
        if name == "vllm:cache_config_info" and (found := _KV_TOKENS.search(labels)):
            kv_tokens = int(found[1])
    return EngineLoad(
        running=_count(sums.get("vllm:num_requests_running")),
        waiting=_count(sums.get("vllm:num_requests_waiting")),
        generated_tokens=_count(sums.get("vllm:generation_tokens_total")),
        kv_tokens=kv_tokens,
        kv_used_share=kv_used,
        server_cpu_s=sums.get("process_cpu_seconds_total"),
    )


class LoadReader:
    """Asks engines for their metrics, over connections of its own: the request path never waits for them."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def read(self, engine: EngineStatus) -> EngineLoad:
        """The load now; nothing known where it does not answer in time."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(TIMEOUT_S), self._session.get(url_of(engine, "/metrics")) as response:
                return load_of(await response.text()) if response.status == 200 else EngineLoad()
        except (TimeoutError, aiohttp.ClientError):
            return EngineLoad()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()


def _count(value: float | None) -> int | None:
    # NaN is Prometheus' word for a figure that is not known.
    return None if value is None or value != value else int(value)
