from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.telemetry.exposition import LARGEST, SAME, Exposition
from appliance.telemetry.metrics import Metrics

ENGINE = EngineStatus("m-0", "m", EngineState.READY, "http://127.0.0.1:8100", "secret", 512, 8)


def worker(requests: int, wait_s: float = 0.0) -> str:
    """What a worker says that has answered so many requests and answers another one."""
    fleet = Fleet()
    fleet.publish((ENGINE,))
    metrics = Metrics(models=["m"], fleet=fleet)
    metrics.watch_lines(dict, lambda: {"m": wait_s})
    for _ in range(requests):
        metrics.request_started()
        metrics.request_finished(route="/v1/chat/completions", status=200, strategy="direct", duration_s=0.2)
    metrics.request_started()
    return metrics.exposition().decode()


def values(text: str, name: str) -> dict[str, float]:
    return {
        ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_counters_histograms_and_gauges_of_all_are_added() -> None:
    text = Exposition([worker(2), worker(3)]).text()
    assert list(values(text, "appliance_requests_total").values()) == [5.0]
    assert values(text, "appliance_requests_in_flight") == {"": 2.0}
    assert list(values(text, "appliance_request_duration_seconds_count").values()) == [5.0]
    buckets = values(text, "appliance_request_duration_seconds_bucket")
    assert buckets["le=0.25,route=/v1/chat/completions,strategy=direct"] == 5.0


def test_what_all_see_alike_is_not_added_and_of_waits_the_longest_counts() -> None:
    text = Exposition([worker(1, wait_s=2.0), worker(1, wait_s=7.0)]).text()
    assert values(text, "appliance_engines")["model=m,state=ready"] == 1.0
    assert values(text, "appliance_calls_longest_wait_seconds") == {"model=m": 7.0}


def test_of_a_worker_that_has_ended_its_counts_stay_and_nothing_else() -> None:
    total = Exposition([worker(2)])
    total.add(worker(3), ended=True)
    assert list(values(total.text(), "appliance_requests_total").values()) == [5.0]
    assert values(total.text(), "appliance_requests_in_flight") == {"": 1.0}


def test_a_sum_can_be_added_to_a_sum() -> None:
    once = Exposition([worker(2), worker(3)]).text()
    assert Exposition([once]).text() == once


def test_of_each_gauge_it_was_decided_whether_workers_are_added() -> None:
    """A new one that all workers read from the same place must not be added: see telemetry/exposition.py."""
    added = {
        "appliance_calls_waiting",
        "appliance_requests_in_flight",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
    }
    gauges = {family.name for family in text_string_to_metric_families(worker(1)) if family.type == "gauge"}
    assert gauges == added | SAME | LARGEST
