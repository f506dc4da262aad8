"""Measuring a running appliance, or any server with OpenAI's API, under a load that is described in a file."""
