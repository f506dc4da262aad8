"""The report of one or several runs as one HTML page that loads nothing."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from appliance.bench.report.curves import FIGURES, latency_chart, what_holds
from appliance.bench.result import Result
from appliance.bench.self_check import REQUIRED_CHUNKS_S
from appliance.plots.style import style

_pages = Environment(
    loader=PackageLoader("appliance.bench.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(*results: Result) -> str:
    """The whole document."""
    return _pages.get_template("page.html.j2").render(
        style=style(),
        title=", ".join(result.header.scenario for result in results),
        required=f"{REQUIRED_CHUNKS_S:,}",
        runs=[
            {
                "result": result,
                "rows": [row for row in result.rows() if row.figures.requests],
                "charts": [chart for figure in FIGURES if (chart := latency_chart(result, figure))],
                "holds": what_holds(result),
            }
            for result in results
        ],
    )
