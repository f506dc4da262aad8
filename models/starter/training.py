"""Trains one model within a time budget: Muon for the matrices, AdamW for the rest, resumable, over several workers."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.optim import AdamW, Muon

from models.starter.batches import IGNORE, Batch, batches
from models.starter.model import Llama, Size
from models.starter.workers import ALONE, Team

CHECKPOINT_EVERY_S = 60.0
CHECKPOINT = "checkpoint.pt"
LOG = "log.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one model is trained; `minutes` are minutes of one core, all workers together."""

    name: str
    size: Size
    minutes: float
    workers: int = 1
    batch_tokens: int = 3000
    matrix_rate: float = 0.02
    other_rate: float = 0.004
    seed: int = 0


@dataclass(slots=True)
class Progress:
    """What has been done so far, over all resumed runs and all workers."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    answer_tokens: int = 0
    chunk: int = 0
    loss: float = 0.0


def rate_factor(fraction: float, steps: int) -> float:
    """A short warm-up, a plateau, then down to nothing over the last 80% of the time."""
    return min(1.0, (steps + 1) / 60) * min(1.0, max(0.0, 1.0 - fraction) / 0.8)


class Trainer:
    """One model, its optimizers and its progress; every worker has one, and all of them stay equal.

    Each worker computes the gradients of batches of its own on one thread; their mean is applied by all.
    """

    def __init__(self, plan: Plan, folder: Path, team: Team = ALONE) -> None:
        torch.manual_seed(plan.seed)
        torch.set_num_threads(1)
        self.plan, self.folder, self.progress, self.team = plan, folder, Progress(), team
        self.model = Llama(plan.size)
        matrices = [p for n, p in self.model.named_parameters() if p.dim() == 2 and "embed" not in n]
        others = [p for n, p in self.model.named_parameters() if p.dim() != 2 or "embed" in n]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=plan.matrix_rate, weight_decay=0.01, momentum=0.95),
            AdamW(others, lr=plan.other_rate, weight_decay=0.0, betas=(0.9, 0.98), fused=True),
        ]
        self.rates = (plan.matrix_rate, plan.other_rate)

    @property
    def fraction(self) -> float:
        """How much of the time budget is used."""
        return self.progress.seconds / (self.plan.minutes * 60)

    def gradients(self, batch: Batch) -> float:
        """Adds a batch's gradients up; returns the loss per answer token."""
        wanted = batch.targets != IGNORE
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.model(batch.tokens, wanted)
        loss = functional.cross_entropy(logits.float(), batch.targets[wanted])
        loss.backward()
        return float(loss.detach())

    def update(self) -> None:
        """Applies the gradients at the rate of the moment."""
        factor = rate_factor(self.fraction, self.progress.steps)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def step(self, batch: Batch, seconds: float, cpu_seconds: float) -> float:
        """One update of all workers together; returns the mean loss. The seconds are those since the last step."""
        loss = self.gradients(batch)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        answers = int((batch.targets != IGNORE).sum())
        mine = torch.tensor([seconds, cpu_seconds, batch.tokens.numel(), answers, loss], dtype=torch.float64)
        total = self.team.combine(gradients, mine)
        progress = self.progress
        progress.seconds += float(total[0])
        progress.cpu_seconds += float(total[1])
        progress.tokens += int(total[2])
        progress.answer_tokens += int(total[3])
        self.update()
        progress.steps += 1
        return float(total[4]) / self.team.size

    def save(self) -> None:
        """Writes the checkpoint and the log, each in one move."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": asdict(self.progress),
        }
        part = self.folder / (CHECKPOINT + ".part")
        torch.save(state, part)
        part.replace(self.folder / CHECKPOINT)
        log = {"plan": asdict(self.plan), "parameters": self.plan.size.parameters, **asdict(self.progress)}
        (self.folder / LOG).write_text(json.dumps(log, indent=2) + "\n")

    def resume(self, fresh_schedule: bool = False) -> bool:
        """Takes up an earlier checkpoint; with a fresh schedule only its weights."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        if not fresh_schedule:
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.progress = Progress(**state["progress"])
            self.progress.chunk += self.team.size
        return True

    def run(self, tokenizer_path: Path, report: Callable[[str], None] = print) -> None:
        """Trains until the time budget is used; the first worker reports and saves."""
        start = saved = reported = last = time.monotonic()
        cpu = time.process_time()
        smooth = math.nan
        first, plan, progress, tokens = self.progress.chunk, self.plan, self.progress, self.progress.tokens
        for round_, batch in batches(
            plan.name, tokenizer_path, plan.seed, first + self.team.rank, plan.batch_tokens, self.team.size
        ):
            if self.fraction >= 1:
                break
            now, now_cpu = time.monotonic(), time.process_time()
            loss = self.step(batch, now - last, now_cpu - cpu)
            last, cpu = now, now_cpu
            smooth = loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss
            progress.chunk, progress.loss = round_ - self.team.rank, smooth
            if self.team.rank == 0 and now - reported > 20:
                left = (plan.minutes * 60 - progress.seconds) / self.team.size / 60
                speed = (progress.tokens - tokens) / (now - start)
                report(
                    f"{plan.name}: {self.fraction:.0%} loss {smooth:.4f} steps {progress.steps} tokens "
                    f"{progress.tokens / 1e6:.1f}M {speed:.0f}/s eta {left:.1f} min"
                )
                reported = now
            if self.team.rank == 0 and now - saved > CHECKPOINT_EVERY_S:
                self.save()
                saved = now
        if self.team.rank == 0:
            self.save()
