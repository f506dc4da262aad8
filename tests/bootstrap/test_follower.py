"""A further node of an engine over several nodes: what it runs, and what it refuses to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.bootstrap.follower import follower
from appliance.config import Settings
from appliance.errors import ConfigError
from tests.bootstrap.machine import L4, gpu_pool, settings_of

SPAN = {"nodes": 2, "pipeline_parallel_size": 2, "leader": "large-0.large.ai"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """On a machine with one GPU."""
    monkeypatch.setattr("appliance.bootstrap.pack_plan.list_gpus", lambda: (replace(L4, uuid="GPU-here"),))
    return settings_of(gpu_pool(tmp_path, monkeypatch))


def plan(directory: Path, settings: Settings, **more: Any) -> Path:
    """A plan of one engine, as the chart writes it for a group."""
    engine = {
        "id": "large-0",
        "model": settings.pool[0].model,
        "gpu_ids": ["0"],
        "tensor_parallel_size": 1,
        "kv_cache_memory_bytes": 10**9,
        "gpu_memory_utilization": 0.9,
        "max_model_len": 64,
        "max_num_seqs": 4,
        "max_num_batched_tokens": 64,
        **more,
    }
    file = directory / "plan.yaml"
    file.write_text(yaml.safe_dump({"packs": [{"name": "large", "node": "", "gpu_ids": ["0"], "engines": [engine]}]}))
    return file


def test_a_follower_joins_its_leader_with_the_gpus_that_are_here(tmp_path: Path, settings: Settings) -> None:
    made = follower(settings, plan(tmp_path, settings, span=SPAN), "large", 1, {"PATH": "/usr/bin"})
    argv = list(made.argv)
    assert argv[argv.index("--master-addr") + 1] == "large-0.large.ai"
    assert argv[argv.index("--node-rank") + 1] == "1"
    assert "--headless" in argv
    assert "VLLM_API_KEY" not in made.environment
    assert made.environment["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(("rank", "words"), [(0, "--rank 0: the engine has 2 nodes"), (2, "so 1 to 1 follow")])
def test_a_rank_that_does_not_follow_is_refused(tmp_path: Path, settings: Settings, rank: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        follower(settings, plan(tmp_path, settings, span=SPAN), "large", rank, {})


def test_an_engine_of_one_node_has_no_followers(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match="one engine with a `span` over several nodes is wanted"):
        follower(settings, plan(tmp_path, settings), "large", 1, {})


def test_a_span_of_one_node_is_no_span(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"span\.nodes"):
        follower(settings, plan(tmp_path, settings, span={**SPAN, "nodes": 1}), "large", 1, {})
