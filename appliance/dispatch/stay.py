"""One call on one engine: it takes its place on the way in and leaves it, with what its end says, on the way out."""

from __future__ import annotations

from types import TracebackType

from appliance.dispatch.gpu_meter import Receipt
from appliance.dispatch.lines import Lines
from appliance.dispatch.places import Place, Places, sign_of
from appliance.domain.engine import EngineStatus
from appliance.domain.request import CallContext


class Stay:
    """For a `with` around the engine's answer. No await may stand between the engine's choice and its beginning."""

    __slots__ = ("_ctx", "_engine", "_expected", "_lines", "_place", "_places", "_receipt")

    def __init__(self, places: Places, lines: Lines, engine: EngineStatus, ctx: CallContext, receipt: Receipt) -> None:
        self._places = places
        self._lines = lines
        self._engine = engine
        self._ctx = ctx
        self._receipt = receipt
        self._place: Place | None = None
        self._expected = 0.0

    def __enter__(self) -> None:
        self._place = self._places.take(self._engine, self._receipt, self._ctx.request_id)
        self._expected = self._lines.serve(self._ctx)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        place = self._place
        assert place is not None, "left before it was entered"
        self._lines.served(self._ctx, self._expected, place.began_s)
        place.leave(sign_of(error))
