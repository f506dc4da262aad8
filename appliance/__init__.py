"""An on-prem appliance that orchestrates open-weight models served by vLLM."""
