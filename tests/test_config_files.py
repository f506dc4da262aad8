"""Every file in config/ loads, names models of the catalog, and the reference in docs/ is that of the code."""

from pathlib import Path

import pytest

from appliance.bootstrap.options import coordinator_options
from appliance.bootstrap.pool import pool_models
from appliance.bootstrap.strategies import load_strategies
from appliance.cli.config_reference import reference
from appliance.config import ENVIRONMENT_OVERRIDES, json_schema, load
from appliance.coordinator.router import Router

ROOT = Path(__file__).parents[1]
FILES = [*sorted(ROOT.glob("config/*.yaml")), *sorted(ROOT.glob("config/examples/*.yaml"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_configuration_loads_and_its_models_are_in_the_catalog(file: Path) -> None:
    settings = load(file, {})
    models = pool_models(settings)
    assert set(models) == {member.model for member in settings.pool}
    for member in settings.pool:
        assert member.engine.max_model_len <= models[member.model].context_tokens
    Router(coordinator_options(settings), load_strategies(settings))


def test_documents_of_the_configuration_are_up_to_date() -> None:
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == reference(json_schema(), ENVIRONMENT_OVERRIDES), "run `make config-docs`"
