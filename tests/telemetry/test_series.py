"""Our counters and histograms say the same as the client library's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from appliance.telemetry.series import Buckets, Counts, observe_all

BOUNDS = (0.005, 0.1, 1, 2.5)
LABELS = st.sampled_from([("a", "x"), ("b", 'quote " and \\'), ("", "é")])


@given(st.lists(st.tuples(LABELS, st.floats(0, 5) | st.sampled_from(BOUNDS))))
def test_the_exposition_is_the_same(seen: list[tuple[tuple[str, str], float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts, buckets = (
        Counts("c", "Counted", ["one", "two"], ours),
        Buckets("h", "Timed", ["one", "two"], BOUNDS, ours),
    )
    counter = Counter("c", "Counted", ["one", "two"], registry=theirs)
    histogram = Histogram("h", "Timed", ["one", "two"], buckets=BOUNDS, registry=theirs)
    for labels, value in seen:
        counts.add(labels, value)
        observe_all((buckets.cell(labels), value), (buckets.cell(labels), 1))
        buckets.observe(labels, value)
        counter.labels(*labels).inc(value)
        for observed in (value, 1, value):
            histogram.labels(*labels).observe(observed)
    said = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == said
