"""The only place that constructs and wires: settings → one appliance, or a part of it that runs apart."""

from appliance.bootstrap.appliance import Appliance
from appliance.bootstrap.gateway import build_gateway
from appliance.bootstrap.pack import Pack, build_pack
from appliance.bootstrap.wiring import build
from appliance.bootstrap.worker import build_worker

__all__ = ["Appliance", "Pack", "build", "build_gateway", "build_pack", "build_worker"]
