"""One worker: a request path over the engines of its main process."""

from __future__ import annotations

from contextlib import ExitStack

from appliance.bootstrap.access import key_file
from appliance.bootstrap.appliance import Appliance, Parts
from appliance.bootstrap.front import load_of
from appliance.bootstrap.lineup import remote
from appliance.bootstrap.request_wiring import build_request_path
from appliance.bootstrap.server import share
from appliance.bootstrap.share import Share
from appliance.bootstrap.worker_link import MainProcess, WorkerLink
from appliance.bootstrap.worker_message import WorkerMessage
from appliance.domain.fleet import Fleet
from appliance.packs.client import HttpPackReader
from appliance.packs.follower import PackFollower

SILENT_S = 5.0


def build_worker(message: WorkerMessage) -> Appliance:
    """A worker that has started nothing yet. Raises ConfigError and CatalogError."""
    with ExitStack() as held:
        listener = held.enter_context(share(message.settings.server.host, message.port))
        lineup, fleet = remote(message.settings, message.device, message.cards), Fleet()
        main = MainProcess(message.door, message.key, message.number)
        front = build_request_path(
            lineup,
            fleet,
            listener,
            held,
            salt_secret=bytes.fromhex(message.salt_hex),
            share=Share(message.number, message.workers),
            all_metrics=main.total,
        )
        follower = PackFollower(
            fleet,
            HttpPackReader(lambda: message.key),
            source=f"worker-{message.number}",
            load=load_of(front),
            silent_s=SILENT_S,
            named=False,
        )
        metrics = front.parts.metrics
        return Appliance(
            Parts(
                data_dir=None,
                api_key_file=key_file(message.settings),
                fleet=fleet,
                front=front,
                engines=WorkerLink(follower, message.door, main, metrics.exposition, front.parts.tally),
                release=held.pop_all().close,
                engines_first=True,
            )
        )
