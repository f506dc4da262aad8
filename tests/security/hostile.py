"""Sends requests into the application and looks at the answers with suspicion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson
from fastapi import FastAPI

from tests.gateway.door import Reply, drive
from tests.security.malformed import Malformed

_TRACES = (b"Traceback", b'File "', b"site-packages", b".py:")


@dataclass(slots=True)
class Tally:
    """Answers by status, and the requests whose answers were wrong."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[tuple[str, Malformed]] = field(default_factory=list)


async def send(app: FastAPI, requests: Iterable[Malformed]) -> Tally:
    """One after the other, on the running loop."""
    tally = Tally()
    for request in requests:
        reply = await drive(app, "POST", request.path, request.body)
        tally.statuses[reply.status] += 1
        if problem := problem_of(reply):
            tally.wrong.append((problem, request))
    return tally


def problem_of(reply: Reply) -> str:
    """What is wrong with an answer; empty where nothing is."""
    if reply.status >= 500:
        return f"status {reply.status}: {reply.body[:300]!r}"
    if any(trace in reply.body for trace in _TRACES):
        return f"a stack trace: {reply.body[:300]!r}"
    if reply.status >= 400:
        error = orjson.loads(reply.body).get("error")
        if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"} or not error["message"]:
            return f"not OpenAI's shape: {reply.body[:300]!r}"
    elif "event-stream" in reply.headers["content-type"] and b'"internal_error"' in reply.body:
        return f"a mistake of ours in a stream: {reply.body[-300:]!r}"
    return ""
