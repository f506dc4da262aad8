"""How good the house is at what it does, measured on labelled sets."""
