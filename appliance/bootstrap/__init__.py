"""The only place that constructs and wires: settings → one appliance (`wiring`), or a part of it that runs apart."""
