"""What a result was measured on; the same facts as in the results of `appliance bench`."""

from appliance.bench.machine import describe as describe
