"""`appliance serve`: a gateway whose engines run in packs elsewhere."""

from __future__ import annotations

from appliance.bootstrap.gateway import build_gateway
from appliance.cli.options import ConfigOption, WorkersOption, settings_of, with_workers
from appliance.cli.process import LogToStderr, log_to, run


def serve(config: ConfigOption = None, workers: WorkersOption = None, log_to_stderr: LogToStderr = False) -> None:
    """Answer requests with the engines of packs that run elsewhere (`appliance engines`); Ctrl-C stops it."""
    settings = with_workers(settings_of(config), workers)
    process = build_gateway(settings, log_to_stderr=log_to_stderr)
    log_to(settings, log_to_stderr)
    run(
        process,
        lambda console: console.print(
            f"gateway ready at {process.url}/v1   (Ctrl-C stops it)", markup=False, highlight=False
        ),
        "answers in flight may end",
    )
