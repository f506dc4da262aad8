"""An advice as one HTML page that loads nothing."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from appliance.capacity.advice import Advice
from appliance.capacity.expense import Band
from appliance.capacity.option import Option
from appliance.capacity.report.bars import gantt, gpu_map, tornado
from appliance.plots.frame import plain
from appliance.plots.lines import Line, Mark, Spot, line_chart
from appliance.plots.style import style

_CUT = 3.0
"""The plot ends at so many times the limit: beyond the knee everything is too slow."""


def _span(band: Band) -> str:
    return f"{plain(band.expected)} ({plain(band.low)}–{plain(band.high)})"


_pages = Environment(
    loader=PackageLoader("appliance.capacity.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters |= {"plain": plain, "span": _span}


def page(advice: Advice) -> str:
    """The whole document."""
    question, first = advice.question, advice.options[0]
    objective = question.objectives[0]
    return _pages.get_template("page.html.j2").render(
        style=style(),
        advice=advice,
        first=first,
        rate=question.load.rate_per_s,
        slo=", ".join(str(o) for o in question.objectives),
        objective=objective,
        statistics=list(first.latency),
        curve=line_chart(
            [_line(number, option) for number, option in enumerate(advice.options, 1)],
            "requests per second",
            f"{objective.name} in seconds",
            limit=Mark(str(objective), objective.limit_s),
            here=Mark("the load", question.load.rate_per_s),
            top=_CUT * objective.limit_s,
        ),
        gpus=[(number, option, gpu_map(option.layout.plan)) for number, option in enumerate(advice.options, 1)],
        gantt=gantt(advice.typical.bars),
        tornado=tornado(advice.sensitivity, objective.limit_s),
    )


def _line(number: int, option: Option) -> Line:
    layout = option.layout
    spots = tuple(Spot(s.rate_per_s, s.value.expected, s.value.low, s.value.high) for s in option.curve)
    name = f"{number}. {layout.gpus} × {layout.kind.kind}, {layout.team.name}"
    return Line(name, spots, measured=not layout.unmeasured)
