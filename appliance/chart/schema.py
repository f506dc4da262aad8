"""The JSON Schema of the chart's values, for `values.schema.json`: Helm refuses what does not fit, naming the key."""

from __future__ import annotations

from typing import Any

from appliance.chart.settings_part import config_schema
from appliance.chart.values import HelmValues


def values_schema() -> dict[str, Any]:
    """Values and configuration in one schema."""
    schema = HelmValues.model_json_schema(by_alias=True)
    config, definitions = config_schema()
    own = schema.pop("$defs")
    if both := own.keys() & definitions.keys():
        raise ValueError(f"parts of the chart and of the settings have the same name: {', '.join(sorted(both))}")
    config["description"] = schema["properties"]["config"]["description"]
    schema["properties"]["config"] = config
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": own | definitions}
    # A chart above this one may have more to say to all of its charts.
    whole["$defs"]["GlobalValues"]["additionalProperties"] = True
    return whole
