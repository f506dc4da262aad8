"""Trains one model of the roster, or takes its training up where it stopped, and exports it."""

import shutil
import signal
from collections.abc import Callable
from functools import partial

import torch

from models.starter.export import export
from models.starter.model import Llama
from models.starter.roster import PLANS, RUNS, TOKENIZER, weights_folder
from models.starter.tokenizer import save_tokenizer, train_tokenizer
from models.starter.training import CHECKPOINT, LOG, Trainer
from models.starter.workers import Team, gathered

MAX_TOKENS = 1024
STOPPED = 130


def say(line: str) -> None:
    """Prints a line of progress at once."""
    print(line, flush=True)


def make_tokenizer() -> None:
    """Learns the tokenizer unless it is there."""
    if not TOKENIZER.exists():
        save_tokenizer(train_tokenizer(), TOKENIZER.parent, MAX_TOKENS)


def trainer_of(name: str, team: Team) -> Trainer:
    """A worker's trainer, at the last checkpoint if there is one."""
    trainer = Trainer(PLANS[name], RUNS / name, team)
    trainer.resume()
    return trainer


def assist(name: str, team: Team) -> None:
    """What the workers beside the first one do."""
    trainer_of(name, team).run(TOKENIZER)


def train(name: str, workers: int | None = None, report: Callable[[str], None] = say) -> None:
    """Trains to the end of the time budget, then exports."""
    make_tokenizer()
    if not finished(name):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with gathered(workers or PLANS[name].workers, partial(assist, name)) as team:
            trainer = trainer_of(name, team)
            if trainer.progress.steps:
                report(f"{name}: going on at {trainer.fraction:.0%}")
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
