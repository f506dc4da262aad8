"""The five models: their sizes, and how long each is trained."""

from pathlib import Path

from models.starter.model import Size
from models.starter.training import Plan

FOLDER = Path(__file__).parent
RUNS = FOLDER / "runs"
WEIGHTS = FOLDER / "weights"
EVALUATION = FOLDER / "evaluation.json"
TOKENIZER = RUNS / "tokenizer" / "tokenizer.json"

PLANS = {
    "math": Plan("math", Size(128, 3, 384), minutes=16),
    "text": Plan("text", Size(128, 3, 384), minutes=11),
    "verifier": Plan("verifier", Size(128, 4, 384), minutes=54, matrix_rate=0.02, other_rate=0.004),
    "planner": Plan(
        "planner", Size(128, 5, 384), minutes=260, workers=3, batch_tokens=4000, matrix_rate=0.014, other_rate=0.003
    ),
    "generalist": Plan("generalist", Size(256, 4, 832), minutes=300, workers=3, matrix_rate=0.01, other_rate=0.002),
}
TEAM = ("planner", "math", "text", "verifier")


def weights_folder(name: str) -> Path:
    """Where the weights of a model are kept."""
    return WEIGHTS / f"starter-{name}"
