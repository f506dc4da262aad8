"""Records for tests."""

from __future__ import annotations

from typing import Any

from appliance.bench.records import RequestRecord


def record(index: int, **fields: Any) -> RequestRecord:
    """Due each 100 ms: the first token after 0.1 s, then four more each 50 ms."""
    due_s = index * 0.1
    made: dict[str, Any] = {
        "index": index,
        "turn": 0,
        "phase": "steady",
        "kind": "plain",
        "model": "m",
        "orchestrated": False,
        "request_id": f"bench-{index}-0",
        "due_s": round(due_s, 6),
        "begun_s": round(due_s + 0.00005, 6),
        "sent_s": round(due_s + 0.0001, 6),
        "first_byte_s": round(due_s + 0.02, 6),
        "first_event_s": round(due_s + 0.1, 6),
        "first_content_s": round(due_s + 0.1, 6),
        "last_content_s": round(due_s + 0.3, 6),
        "ended_s": round(due_s + 0.31, 6),
        "status": 200,
        "chunks": 5,
        "gaps_s": (0.05, 0.05, 0.05, 0.05),
        "prompt_tokens": 10,
        "completion_tokens": 5,
    }
    return RequestRecord(**{**made, **fields})
