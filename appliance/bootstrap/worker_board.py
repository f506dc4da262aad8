"""What the main process hears from its workers: their metrics, and what requests asked of the pool."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from appliance.bootstrap.demand_tally import DemandTally
from appliance.placement.demand_watch import Tally
from appliance.telemetry.exposition import Exposition


@dataclass(frozen=True, slots=True)
class Beat:
    """From one worker: Prometheus' text of its process so far, and what was asked since its last beat."""

    exposition: str
    tally: Tally = field(default_factory=Tally)


BEAT = TypeAdapter(Beat)


class WorkerBoard:
    """Owned by the event loop. Counts of workers that have ended are kept, so that no sum ever falls."""

    def __init__(self, tally: DemandTally) -> None:
        self._tally = tally
        self._last: dict[int, str] = {}
        self._ended = Exposition()
        self._heard: dict[int, asyncio.Event] = {}

    def first_beat(self, number: int) -> asyncio.Event:
        """Set once a worker is heard of."""
        return self._heard.setdefault(number, asyncio.Event())

    def ended(self, number: int) -> None:
        """Its process is gone; another one may take its number."""
        self._heard.pop(number, None)
        if last := self._last.pop(number, None):
            self._ended.add(last, ended=True)

    async def answer(self, request: Request) -> Response:
        """POST /workers/N: a beat; with `?total` the metrics of all workers come back."""
        try:
            beat = BEAT.validate_json(await request.body())
        except ValidationError:
            return PlainTextResponse("not understood", 400)
        number = int(request.path_params["number"])
        self._last[number] = beat.exposition
        self._tally.add(beat.tally)
        self.first_beat(number).set()
        if "total" not in request.query_params:
            return Response(status_code=204)
        # The asker's own come first, since they are the newest; what others counted that have ended comes last.
        others = (text for other, text in self._last.items() if other != number)
        texts = (beat.exposition, *others, self._ended.text())
        return PlainTextResponse(await asyncio.to_thread(lambda: Exposition(texts).text()))
