"""The only place that constructs and wires: settings → one appliance."""

from appliance.bootstrap.appliance import Appliance
from appliance.bootstrap.wiring import build

__all__ = ["Appliance", "build"]
