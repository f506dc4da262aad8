"""An exchange that is over → its record. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from appliance.bench.dialogue import Dialogue
from appliance.bench.exchange import Exchange
from appliance.bench.records import RequestRecord


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run a request stands."""

    index: int
    turn: int
    phase: str
    request_id: str


def recorded(exchange: Exchange, dialogue: Dialogue, place: Place, begins_s: float) -> RequestRecord:
    """What is kept of it; times from `begins_s` on."""

    def since(at_s: float | None) -> float | None:
        return None if at_s is None else at_s - begins_s

    document, chunks = exchange.document(), exchange.chunk_s
    usage, about = document.get("usage") or {}, document.get("appliance") or {}
    return RequestRecord(
        index=place.index,
        turn=place.turn,
        phase=place.phase,
        kind=dialogue.kind,
        model=dialogue.model,
        orchestrated=dialogue.orchestrated,
        request_id=place.request_id,
        due_s=exchange.due_s - begins_s,
        begun_s=exchange.begun_s - begins_s,
        ended_s=exchange.ended_s - begins_s,
        sent_s=since(exchange.sent_s),
        first_byte_s=since(exchange.first_byte_s),
        first_event_s=since(exchange.first_event_s),
        first_content_s=since(chunks[0] if chunks else None),
        last_content_s=since(chunks[-1] if chunks else exchange.first_event_s),
        status=exchange.status,
        error=exchange.error(),
        chunks=len(chunks),
        gaps_s=tuple(after - before for before, after in pairwise(chunks)),
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        trace_id=exchange.trace_id or about.get("trace_id", ""),
        strategy=about.get("strategy", ""),
        calls=about.get("calls"),
        gpu_s=about.get("gpu_s"),
    )
