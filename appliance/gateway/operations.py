"""For those who run the house: alive, ready, metrics, engines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from appliance.domain.engine import EngineStatus
from appliance.domain.fleet import EngineFigures, Fleet, FleetSnapshot
from appliance.gateway import exchange as exchanges
from appliance.gateway.openai.documents import Ready
from appliance.telemetry.metrics import CONTENT_TYPE, Metrics

_TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

RoleModels = Mapping[str, tuple[str, ...]]


AllMetrics = Callable[[bytes], Awaitable[bytes]]
"""Prometheus' text of this process → that of all processes that answer at this door."""


def router(fleet: Fleet, role_models: RoleModels, metrics: Metrics, all_metrics: AllMetrics | None = None) -> APIRouter:
    """The operations routes."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/health")
    async def health() -> dict[str, str]:
        """The process is alive. It says nothing of the engines; see /ready."""
        return {"status": "alive"}

    @routes.get("/ready", response_class=Response, responses={200: {"model": Ready}, 503: {"model": Ready}})
    async def ready(request: Request) -> Response:
        """200 when every role can be played, else 503; callers with a key are told the roles that can't."""
        missing = missing_roles(fleet.snapshot, role_models)
        body: dict[str, Any] = {"ready": not missing}
        if exchanges.of(request.scope).tenant is not None:
            body["missing"] = missing
        return Response(orjson.dumps(body), status_code=503 if missing else 200, media_type="application/json")

    @routes.get("/metrics", response_class=Response, responses=_TEXT)
    async def prometheus() -> Response:
        """Prometheus' text format."""
        own = metrics.exposition()
        return Response(own if all_metrics is None else await all_metrics(own), media_type=CONTENT_TYPE)

    @routes.get("/fleet")
    async def engines() -> dict[str, Any]:
        """Engines as the supervisor last saw them, without their keys, with their last sampled figures.

        Bytes are per GPU, on the CPU of the machine; null stands for what is not known. `plan` says when and why the
        plan that runs was made; null where the pool is followed.
        """
        snapshot = fleet.snapshot
        shown = [_shown(engine, fleet.figures_of(engine.engine_id)) for engine in snapshot.engines]
        return {"version": snapshot.version, "engines": shown, "plan": fleet.plan}

    return routes


def missing_roles(snapshot: FleetSnapshot, role_models: RoleModels) -> dict[str, list[str]]:
    """Roles without any engine, ready or asleep → the models that could play them.

    Roles that nobody plays don't count.
    """
    return {
        role: list(models)
        for role, models in role_models.items()
        if models and not any(snapshot.available(model) for model in models)
    }


def _shown(engine: EngineStatus, figures: EngineFigures) -> dict[str, Any]:
    return {
        "engine_id": engine.engine_id,
        "model_id": engine.model_id,
        "state": engine.state.value,
        "base_url": engine.base_url,
        "pid": engine.pid,
        "max_model_len": engine.max_model_len,
        "max_num_seqs": engine.max_num_seqs,
        "turn_group": engine.turn_group,
        "gpu_ids": list(figures.gpu_ids),
        "memory_planned_bytes": figures.planned_bytes,
        "memory_measured_bytes": figures.measured_bytes,
        "kv_tokens": figures.kv_tokens,
        "kv_used_share": figures.kv_used_share,
        "requests_running": figures.running_requests,
        "requests_waiting": figures.waiting_requests,
        "tokens_per_s": figures.tokens_per_s,
        "server_cpu_s": figures.server_cpu_s,
        "detail": "; ".join(filter(None, (engine.detail, figures.remark))),
    }
