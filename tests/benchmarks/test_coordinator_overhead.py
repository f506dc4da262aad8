"""The benchmark of the coordinator's own cost: each way makes the calls of the graph, and the figures are summed up."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.coordinator_mock import bench, chain, diamond, longest, plan_of, wide
from benchmarks.coordinator_overhead import BARE, CALLS, UNWRITTEN, WHOLE, summary, tables


def test_the_longest_path_of_each_graph() -> None:
    assert [longest(needs) for needs in (wide(5), chain(5), diamond())] == [2, 5, 3]


def test_each_way_makes_every_call_of_the_graph(tmp_path: Path) -> None:
    needs = diamond()

    async def main() -> None:
        async with bench(plan_of(needs), directory=tmp_path) as built:
            finished = await built.answer("r1")
            assert (finished.strategy, finished.calls) == ("plan_execute_verify", 1 + len(needs))
            assert finished.reduced == ()
            await built.calls("r2", needs)
            await built.bare("r3", needs)
            assert built.dispatcher.idle

    asyncio.run(main())
    assert {path.name for path in tmp_path.iterdir()} >= {"journal", "ledger"}


def test_the_summary_has_the_figures_that_the_aims_are_about() -> None:
    costs = {BARE: 10.0, CALLS: 100.0, UNWRITTEN: 150.0, WHOLE: 190.0}
    rows = [{"way": way, "task_us": us, "request_of_five_us": 9 * us} for way, us in costs.items()]
    paths = [
        {"graph": "g", "call_s": 0.05, "critical_s": 0.1, "ratios": {BARE: 1.0, WHOLE: ratio}} for ratio in (1.01, 1.03)
    ]
    results = {"cpu": {"rows": rows, "graph_task_us": 90.0}, "path": {"rows": paths}}
    assert summary(results) == {"graph_task_us": 90.0, "whole_task_us": 190.0, "worst_path_ratio": 1.03}
    assert [table.row_count for table in tables(results)] == [5, 2]
