"""`GET /v1/models`: the models of the pool and the virtual one, with what they can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request

from appliance.domain.fleet import Fleet
from appliance.errors import UnknownModel
from appliance.gateway.openai.described import described
from appliance.gateway.openai.documents import ModelList, ModelObject


@dataclass(frozen=True, slots=True)
class ModelListing:
    """One entry. A virtual model has no weights of its own: the coordinator answers."""

    model_id: str
    owned_by: str
    virtual: bool = False
    licence: str = ""
    description: str = ""
    max_model_len: int | None = None
    roles: tuple[str, ...] = ()
    skills: Mapping[str, float] = field(default_factory=dict)
    endpoints: tuple[str, ...] = ()
    tools: bool = False
    images: bool = False
    reasoning: bool = False


def router(listings: Sequence[ModelListing], fleet: Fleet, *, created_unix_s: int) -> APIRouter:
    """The two model routes."""
    routes = APIRouter(tags=["models"])
    by_id = {listing.model_id: listing for listing in listings}

    @routes.get("/v1/models", **described(answer=ModelList))
    async def list_models(_request: Request) -> dict[str, Any]:
        """All models that a request may name."""
        return {"object": "list", "data": [_entry(listing, fleet, created_unix_s) for listing in listings]}

    @routes.get("/v1/models/{model_id}", **described(answer=ModelObject))
    async def retrieve_model(model_id: str) -> dict[str, Any]:
        """One model."""
        if model_id not in by_id:
            raise UnknownModel(f"no model {model_id[:100]!r} here; GET /v1/models lists those that there are")
        return _entry(by_id[model_id], fleet, created_unix_s)

    return routes


def _entry(listing: ModelListing, fleet: Fleet, created_unix_s: int) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": listing.model_id,
        "object": "model",
        "created": created_unix_s,
        "owned_by": listing.owned_by,
        "virtual": listing.virtual,
        "description": listing.description,
        "capabilities": {
            "endpoints": list(listing.endpoints),
            "tools": listing.tools,
            "images": listing.images,
            "reasoning": listing.reasoning,
            "roles": list(listing.roles),
            "skills": dict(listing.skills),
        },
    }
    if not listing.virtual:
        entry["licence"] = listing.licence
        entry["max_model_len"] = listing.max_model_len
        entry["ready_engines"] = len(fleet.snapshot.ready(listing.model_id))
    return entry
