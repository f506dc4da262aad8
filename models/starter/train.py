"""Trains one model of the roster, or takes its training up where it stopped, and exports it."""

import shutil
import signal
from collections.abc import Callable

import torch

from models.starter.export import export
from models.starter.model import Llama
from models.starter.roster import PLANS, RUNS, TOKENIZER, weights_folder
from models.starter.tokenizer import save_tokenizer, train_tokenizer
from models.starter.training import CHECKPOINT, LOG, Trainer

MAX_TOKENS = 1024
STOPPED = 130


def say(line: str) -> None:
    """Prints a line of progress at once."""
    print(line, flush=True)


def make_tokenizer() -> None:
    """Learns the tokenizer unless it is there."""
    if not TOKENIZER.exists():
        save_tokenizer(train_tokenizer(), TOKENIZER.parent, MAX_TOKENS)


def train(name: str, threads: int | None = None, report: Callable[[str], None] = say) -> None:
    """Trains to the end of the time budget, then exports."""
    make_tokenizer()
    trainer = Trainer(PLANS[name], RUNS / name)
    if threads:
        torch.set_num_threads(threads)
    if trainer.resume():
        report(f"{name}: going on at {trainer.fraction:.0%}")
    if trainer.fraction < 1:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            trainer.run(TOKENIZER, report)
        except KeyboardInterrupt:
            trainer.save()
            report(f"{name}: stopped at {trainer.fraction:.0%}; the next run goes on from there")
            raise SystemExit(STOPPED) from None
    export_checkpoint(name)


def export_checkpoint(name: str) -> None:
    """Writes the weights of the last checkpoint."""
    state = torch.load(RUNS / name / CHECKPOINT, weights_only=True)
    model = Llama(PLANS[name].size)
    model.load_state_dict(state["model"])
    export(model, TOKENIZER, weights_folder(name))
    shutil.copy(RUNS / name / LOG, weights_folder(name) / "training.json")


def finished(name: str) -> bool:
    """Whether the time budget of a model is used."""
    path = RUNS / name / CHECKPOINT
    if not path.exists():
        return False
    progress = torch.load(path, weights_only=True)["progress"]
    return bool(progress["seconds"] >= PLANS[name].minutes * 60)
