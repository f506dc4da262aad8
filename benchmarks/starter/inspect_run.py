"""A suite through the gateway by Inspect (UK AI Security Institute): its own tasks, client, scorer and log.

Runs in Inspect's environment (`requirements/peer-inspect.txt`), so it imports nothing of this project:

    .venv-peers/inspect/bin/python -P benchmarks/starter/inspect_run.py SUITE.jsonl URL MODEL LOGS < key
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai import eval as run
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import exact
from inspect_ai.solver import generate


def samples(suite: Path) -> list[Sample]:
    """Its tasks as Inspect has them; of a row only question and answer are used."""
    rows = [json.loads(line) for line in suite.read_text(encoding="utf-8").splitlines()]
    return [
        Sample(id=row["id"], input=row["question"], target=str(row["answer"]), metadata={"class": row["class"]})
        for row in rows
    ]


def main(suite: Path, url: str, model: str, logs: str) -> dict[str, Any]:
    """What Inspect found, from its own log."""
    key = sys.stdin.readline().strip()
    task = Task(dataset=MemoryDataset(samples(suite)), solver=generate(), scorer=exact(), name="starter")
    gateway = get_model(
        f"openai-api/gateway/{model}", base_url=f"{url}/v1", api_key=key, config=GenerateConfig(max_connections=8)
    )
    (log,) = run(task, model=gateway, log_dir=logs, display="none")
    usage = next(iter(log.stats.model_usage.values()), None)
    return {
        "inspect_ai": version("inspect-ai"),
        "status": log.status,
        "error": log.error.message if log.error else "",
        "right": {s.id: all(score.value == "C" for score in (s.scores or {}).values()) for s in log.samples or ()},
        "answers": {s.id: s.output.completion for s in log.samples or ()},
        "tokens": usage.total_tokens if usage else 0,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), *sys.argv[2:5])))
