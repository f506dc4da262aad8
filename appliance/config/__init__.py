"""The configuration: a file for each of its sections, and how a file is read."""

from appliance.config.engines import PoolMember
from appliance.config.loading import ENVIRONMENT_OVERRIDES, describe, json_schema, load
from appliance.config.policy import LabelSettings
from appliance.config.settings import Settings

__all__ = ["ENVIRONMENT_OVERRIDES", "LabelSettings", "PoolMember", "Settings", "describe", "json_schema", "load"]
