"""A small team of models of the catalog, and questions about it that are answered quickly."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from appliance.capacity.assumed_trees import Part, direct_trees, planned_trees
from appliance.capacity.demand import load_of
from appliance.capacity.engine_book import EngineBook
from appliance.capacity.hardware import load_hardware, nodes_of
from appliance.capacity.prediction import Rules
from appliance.capacity.sizing import Question
from appliance.capacity.slo import parse_slo
from appliance.capacity.team import Team
from appliance.catalog.loader import load_catalog
from appliance.domain.demand import RoleDemand
from appliance.domain.model import Role
from appliance.placement.problem import Problem, Wanted

CATALOG = Path(__file__).parents[2] / "models" / "catalog"
SMALL, OTHER = "qwen3-4b", "phi-4-mini-instruct"


@cache
def wanted(model_id: str) -> Wanted:
    return Wanted(load_catalog(CATALOG)[model_id], max_model_len=4096, max_num_seqs=16)


def part(role: Role, model_id: str, prompt: int, completion: int, calls: float = 1) -> Part:
    return Part(role, model_id, RoleDemand(calls, prompt, completion), 4096)


PARTS = {
    "planner": part(Role.PLANNER, SMALL, 300, 80),
    "executors.math": part(Role.EXECUTOR, OTHER, 200, 100, 1.5),
    "verifier": part(Role.VERIFIER, OTHER, 300, 10, 1.5),
    "synthesizer": part(Role.SYNTHESIZER, SMALL, 400, 100),
}


@cache
def alone() -> Team:
    """One model that answers directly."""
    nodes = nodes_of(load_hardware()["l4"], 1)
    problem = Problem(nodes, (wanted(SMALL),), {"generalist": (SMALL,)})
    trees = direct_trees(part(Role.GENERALIST, SMALL, 300, 100), 50)
    return Team(f"{SMALL} alone", problem, "direct", "direct", {"direct": trees}, "assumed")


@cache
def pair() -> Team:
    """Two models that plan, execute and verify hard requests."""
    roles = {key: (found.model_id,) for key, found in PARTS.items()} | {"generalist": (SMALL,)}
    problem = Problem(alone().problem.nodes, (wanted(SMALL), wanted(OTHER)), roles)
    trees = {**alone().trees, "plan_execute_verify": planned_trees(PARTS, 50)}
    return Team("a pair", problem, "direct", "plan_execute_verify", trees, "assumed")


def question(slo: str = "p95<10s", users: float = 300, hard_share: float = 0.2, **changes: Any) -> Question:
    facts: dict[str, Any] = {"rules": Rules(120), "book": EngineBook(), "most_gpus": 8, "requests": 60} | changes
    return Question(load_of(users, hard_share), parse_slo(slo), **facts)
