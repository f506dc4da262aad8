"""Small problems for the tests of the solver, with models of the shipped catalog."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from appliance.catalog.loader import load_catalog
from appliance.domain.demand import Demand, RoleDemand
from appliance.domain.model import Model
from appliance.domain.node import Accelerator, Node
from appliance.placement.problem import Problem, Wanted

GIB = 2**30
DEMAND = Demand(
    (
        ("planner", RoleDemand(1, 700, 250)),
        ("executors.math", RoleDemand(2, 500, 300)),
        ("executors.code", RoleDemand(1, 800, 500)),
        ("verifier", RoleDemand(3, 900, 40)),
    )
)
ROLES = {
    "planner": ("qwen3-8b",),
    "executors.math": ("qwen3-4b",),
    "executors.code": ("qwen2.5-coder-7b-instruct",),
    "verifier": ("llama-3.1-8b-instruct",),
    "generalist": ("qwen3-8b",),
}


@cache
def catalog() -> dict[str, Model]:
    return dict(load_catalog(Path(__file__).parents[2] / "models" / "catalog"))


def node(count: int, name: str, gib: float, *, island: str = "", host_gib: int = 256, label: str = "node-1") -> Node:
    gpus = tuple(Accelerator(str(index), name, int(gib * GIB), island=island) for index in range(count))
    return Node(label, gpus, host_gib * GIB)


def l40s(count: int = 4) -> Node:
    return node(count, "NVIDIA L40S", 44.99)


def h100(count: int = 8) -> Node:
    return node(count, "NVIDIA H100 80GB HBM3", 79.6, island="nvlink-0")


def l4(count: int = 1, host_gib: int = 256) -> Node:
    return node(count, "NVIDIA L4", 22.5, host_gib=host_gib)


def wanted(model_id: str, max_model_len: int = 8192, **changes: object) -> Wanted:
    return replace(Wanted(catalog()[model_id], max_model_len), **changes)  # type: ignore[arg-type]  # the fields are named by each test


def problem(*nodes: Node, **changes: object) -> Problem:
    """Four models with a role each."""
    names = dict.fromkeys(model for models in ROLES.values() for model in models)
    plain = Problem(nodes or (l40s(),), tuple(wanted(name) for name in names), ROLES, DEMAND)
    return replace(plain, **changes)  # type: ignore[arg-type]  # the fields are named by each test
