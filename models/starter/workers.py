"""Worker processes that train one model together, each on one thread: faster here than one process with threads."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

import torch
from torch import Tensor, distributed

from models.starter.batches import end_with_parent


@dataclass(frozen=True, slots=True)
class Team:
    """One worker's place among `size` workers."""

    rank: int
    size: int

    def combine(self, gradients: list[Tensor], counts: Tensor) -> Tensor:
        """Replaces each gradient by the mean over all workers; returns the sum of their counts."""
        if self.size == 1:
            return counts
        flat = torch.cat([gradient.view(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        distributed.all_reduce(counts)
        flat /= self.size
        place = 0
        for gradient in gradients:
            gradient.copy_(flat[place : place + gradient.numel()].view_as(gradient))
            place += gradient.numel()
        return counts


ALONE = Team(0, 1)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def join(team: Team, port: int) -> None:
    """Meets the other workers on loopback."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=team.rank, world_size=team.size)


def work(target: Callable[[Team], None], team: Team, port: int) -> None:
    """The life of every worker but the first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    join(team, port)
    target(team)


@contextmanager
def gathered(size: int, target: Callable[[Team], None]) -> Iterator[Team]:
    """The first worker's team; the others run `target` in processes that end with the block."""
    if size == 1:
        yield ALONE
        return
    port, context = free_port(), get_context("spawn")
    others = [context.Process(target=work, args=(target, Team(rank, size), port)) for rank in range(1, size)]
    for process in others:
        process.start()
    try:
        join(Team(0, size), port)
        yield Team(0, size)
    except BaseException:
        for process in others:
            process.kill()  # they keep nothing, and may be waiting for this worker's gradients
        raise
    finally:
        for process in others:
            process.join()
        if distributed.is_initialized():
            distributed.destroy_process_group()
