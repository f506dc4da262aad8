"""A request of median length, call by call, as it goes through the pool under the load. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.capacity.layout import Layout
from appliance.capacity.sizing import Question


@dataclass(frozen=True, slots=True)
class Bar:
    """A call: when it was asked for, when an engine took it, when it ended; seconds from the request's arrival."""

    role: str
    engine_id: str
    asked_s: float
    sent_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Typical:
    """The calls of one request of the class `traffic`; none where no such request was answered."""

    traffic: str
    bars: tuple[Bar, ...]


def typical(layout: Layout, question: Question) -> Typical:
    """Of the hard requests, where there are any."""
    team, load = layout.team, question.load
    traffic = team.hard if load.hard_share > 0 else team.easy
    (outcome,) = question.predicted(layout.places, question.traffic(team), 1, keep_calls=True).outcomes
    answered = sorted(outcome.answered(traffic), key=lambda request: request.took_s or 0.0)
    if not answered:
        return Typical(traffic, ())
    middle = answered[len(answered) // 2]
    return Typical(
        traffic,
        tuple(
            Bar(
                call.shape.role.value,
                call.engine_id,
                call.asked_s - middle.at_s,
                call.sent_s - middle.at_s,
                call.ended_s - middle.at_s,
            )
            for call in sorted(middle.calls, key=lambda call: call.asked_s)
        ),
    )
