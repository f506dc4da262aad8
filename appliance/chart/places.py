"""Where the chart puts things in its pods. The templates say the same; a test compares them."""

from __future__ import annotations

CATALOG = "/opt/appliance/catalog"
"""The manifests that came with the image."""
STORE = "/models"
"""The model store's volume."""
