"""Nothing but the allowed paths of an engine is ever called, and one file makes their URLs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.domain.endpoint import Endpoint, EngineTask
from appliance.domain.engine import EngineState, EngineStatus
from appliance.engines.paths import ALLOWED, url_of

ENGINE = EngineStatus("m-0", "m", EngineState.READY, "http://127.0.0.1:8100", "key", 16, 1)
APPLIANCE = Path(__file__).parents[2] / "appliance"
SHUT = (
    *("/invocations", "/v1/chat/completions/batch", "/v1/responses", "/update_weights", "/v1/load_lora_adapter"),
    *("/reset_prefix_cache", "/start_profile", "/inference/v1/generate", "/server_info", "/v1/models", "/docs", ""),
)


@pytest.mark.parametrize("path", sorted(ALLOWED))
def test_allowed(path: str) -> None:
    assert url_of(ENGINE, path) == f"http://127.0.0.1:8100{path}"


@pytest.mark.parametrize("path", SHUT)
def test_shut(path: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        url_of(ENGINE, path)


@pytest.mark.parametrize("path", ["/v1/../invocations", "//elsewhere/v1/completions", "/v1/completions/", "@evil/"])
def test_no_way_around(path: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        url_of(ENGINE, path)


def test_one_file_makes_the_urls() -> None:
    makers = {
        str(file.relative_to(APPLIANCE))
        for file in APPLIANCE.rglob("*.py")
        if re.search(r"base_url\}|base_url ?\+|base_url, ?[\"']/", file.read_text(encoding="utf-8"))
    }
    assert makers == {"engines/paths.py"}


def test_each_endpoint_belongs_to_a_task() -> None:
    assert set(Endpoint) == {endpoint for task in EngineTask for endpoint in task.offers}
