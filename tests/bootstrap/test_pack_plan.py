"""A plan in a file → the engines of one pack on the GPUs that are here."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.bootstrap.pack import build_pack
from appliance.bootstrap.pack_engines import member_command
from appliance.bootstrap.pack_plan import lineup_of, on_gpus, only, read_plan
from appliance.bootstrap.running_plan import plan_json
from appliance.cli.plan_values import helm_values
from appliance.config import load
from appliance.domain.engine import Device
from appliance.domain.gpu import Gpu
from appliance.domain.placement import Pack, PlacementPlan, PlannedEngine, PlannedGpu, TurnGroup
from appliance.errors import ConfigError, EngineStartError
from tests.bootstrap.machine import GIB, L4, SECOND, gpu_pool
from tests.cli.pool import make_pool
from tests.fakes.fake_launcher import FakeLauncher

GROUP = "0/turns"


def engine(engine_id: str, node: str, *gpu_ids: str, turn_group: str = "") -> PlannedEngine:
    return PlannedEngine(
        engine_id=engine_id,
        model_id=engine_id.rpartition("-")[0],
        node=node,
        gpu_ids=gpu_ids,
        tensor_parallel_size=len(gpu_ids),
        kv_cache_memory_bytes=1_000_000,
        max_model_len=512,
        max_num_seqs=8,
        max_num_batched_tokens=512,
        gpu_memory_utilization=0.5,
        booked_bytes=2 * GIB,
        weights_bytes=GIB,
        kv_tokens=100,
        requests_per_s=1.0,
        share=0.5,
        turn_group=turn_group,
    )


def planned_gpu(node: str, gpu_id: str) -> PlannedGpu:
    return PlannedGpu(node, gpu_id, "NVIDIA L4", L4.total_bytes, 0, 0)


PLAN = PlacementPlan(
    engines=(
        engine("fake-math-0", "gpu-1", "3", turn_group=GROUP),
        engine("fake-verifier-0", "gpu-1", "3", turn_group=GROUP),
        engine("fake-planner-0", "gpu-1", "5"),
        engine("fake-generalist-0", "gpu-2", "0"),
    ),
    gpus=(planned_gpu("gpu-1", "3"), planned_gpu("gpu-1", "5"), planned_gpu("gpu-2", "0")),
    packs=(
        Pack("gpu-1", ("3", "5"), ("fake-math-0", "fake-verifier-0", "fake-planner-0")),
        Pack("gpu-2", ("0",), ("fake-generalist-0",)),
    ),
    turns=(TurnGroup(GROUP, "gpu-1", ("3",), ("fake-math-0", "fake-verifier-0")),),
    roles=(),
    requests_per_s=None,
    bound_per_s=None,
    wanted_per_s=None,
    bottleneck="",
    status="optimal",
    reasons=(),
)


def values_of(tmp_path: Path) -> dict[str, Any]:
    elsewhere = tmp_path / "planned"
    elsewhere.mkdir()
    return helm_values(PLAN, load(make_pool(elsewhere).config, {}))


def saved(tmp_path: Path, form: str) -> Path:
    file = tmp_path / "plan"
    if form == "json":
        file.write_text(plan_json(PLAN))
        return file
    values = {**values_of(tmp_path), "image": {"tag": "1"}}
    values["packs"] = [{**pack, "replicas": 2} for pack in values["packs"]]
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.mark.parametrize("form", ["json", "values"])
def test_a_pack_of_either_form_comes_with_its_engines_and_turns(tmp_path: Path, form: str) -> None:
    found = only(read_plan(saved(tmp_path, form)), "pack-0", "plan")
    assert [e.engine_id for e in found.engines] == ["fake-math-0", "fake-verifier-0", "fake-planner-0"]
    assert [e.turn_group for e in found.engines] == [GROUP, GROUP, ""]
    assert [turn.engine_ids for turn in found.turns] == [("fake-math-0", "fake-verifier-0")]
    other = only(read_plan(tmp_path / "plan"), "pack-1", "plan")
    assert ([e.engine_id for e in other.engines], other.turns) == (["fake-generalist-0"], ())


def test_which_pack_must_be_said_where_there_are_several(tmp_path: Path) -> None:
    named = read_plan(saved(tmp_path, "values"))
    with pytest.raises(ConfigError, match=r"holds 2 packs; name one with --pack: pack-0, pack-1"):
        only(named, None, "plan")
    with pytest.raises(ConfigError, match="there is no pack gpu-1"):
        only(named, "gpu-1", "plan")


def test_a_pod_counts_its_gpus_anew() -> None:
    plan = on_gpus(only_first(), (L4, SECOND), "plan")
    assert [e.gpu_ids for e in plan.engines] == [(L4.uuid,), (L4.uuid,), (SECOND.uuid,)]
    assert [gpu.gpu_id for gpu in plan.gpus] == [L4.uuid, SECOND.uuid]
    assert plan.turns[0].gpu_ids == (L4.uuid,)


def test_gpus_that_are_here_by_index_or_uuid_are_meant() -> None:
    machine = tuple(replace(L4, index=n, uuid=f"GPU-{n}") for n in range(8))
    assert [e.gpu_ids for e in on_gpus(only_first(), machine, "plan").engines] == [("GPU-3",), ("GPU-3",), ("GPU-5",)]


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ((), "needs 2 GPUs, but there are 0 here"),
        ((L4,), "needs 2 GPUs, but there are 1 here"),
        ((L4, replace(SECOND, total_bytes=12 * GIB)), "GPU 5 is planned as NVIDIA L4"),
    ],
)
def test_too_few_or_too_small_gpus_are_refused(gpus: tuple[Gpu, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        on_gpus(only_first(), gpus, "plan")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "no plan"),
        ("a: [", "neither JSON nor YAML"),
        ("packs: [{name: p, node: n, gpu_ids: ['0'], engines: [{id: x}]}]", r"packs\.0\.engines\.0\.model"),
        (json.dumps({"engines": [{"engine_id": "x"}]}), "no plan"),
    ],
)
def test_what_is_no_plan_is_one_error_that_names_the_key(tmp_path: Path, document: str, words: str) -> None:
    file = tmp_path / "plan"
    file.write_text(document)
    with pytest.raises(ConfigError, match=words):
        read_plan(file)


def test_an_unknown_option_of_an_engine_is_refused(tmp_path: Path) -> None:
    values = values_of(tmp_path)
    values["packs"][0]["engines"][0]["max_num_sequences"] = 9
    file = tmp_path / "plan"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match="max_num_sequences"):
        read_plan(file)


def test_the_lineup_is_the_plans_and_nothing_is_planned_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    monkeypatch.setattr("appliance.bootstrap.pack_plan.list_gpus", lambda: (L4, SECOND))
    pool.settings["cluster"] = {
        "door": {"node": "node-7", "engine_host": "127.0.0.3", "port": pool.settings["server"]["port"]}
    }
    pool.write()
    lineup = lineup_of(load(pool.config, {}), saved(tmp_path, "values"), "pack-0")
    assert lineup.engine_ids == ("fake-math-0", "fake-verifier-0", "fake-planner-0")
    assert lineup.device is Device.CUDA
    specs = lineup.specs((1, 2, 3))
    assert [spec.gpu_ids for spec in specs] == [(L4.uuid,), (L4.uuid,), (SECOND.uuid,)]
    assert lineup.planned_bytes(specs[0]) is None, "the chart's values do not say it"


def test_engines_of_a_pack_listen_where_gateways_reach_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    monkeypatch.setattr("appliance.bootstrap.pack_plan.list_gpus", lambda: (L4, SECOND))
    door = {"name": "p", "node": "node-7", "engine_host": "127.0.0.3", "port": pool.settings["server"]["port"]}
    pool.settings["cluster"] = {"door": door}
    pool.write()
    launcher = FakeLauncher()
    pack = build_pack(
        load(pool.config, {}), saved(tmp_path, "values"), "pack-1", make_launcher=lambda _client: launcher
    )

    async def main() -> None:
        try:
            await pack.start()
            (found,) = pack.fleet.snapshot.engines
            assert found.base_url.startswith("http://127.0.0.3:")
            assert (found.engine_id, found.node) == ("fake-generalist-0", "node-7")
        finally:
            await pack.stop()

    asyncio.run(main())


GROUP_OF_TWO = {"group": {"size": 2, "rank": 1, "leader": "big-0.big"}}


def test_a_node_below_the_leader_of_a_group_runs_its_part_of_the_one_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    monkeypatch.setattr("appliance.bootstrap.pack_plan.list_gpus", lambda: (L4,))
    pool.settings["cluster"] = GROUP_OF_TWO | {"door": {"engine_host": "10.0.0.8"}}
    pool.write()
    made = member_command(load(pool.config, {}), saved(tmp_path, "values"), "pack-1")
    assert made.argv[0] == pool.settings["engines"]["python"]
    assert {"--headless", "--node-rank", "big-0.big"} <= set(made.argv)
    assert (made.environment["CUDA_VISIBLE_DEVICES"], made.environment["VLLM_HOST_IP"]) == (L4.uuid, "10.0.0.8")


def test_a_group_runs_one_engine_only_and_needs_a_leader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    monkeypatch.setattr("appliance.bootstrap.pack_plan.list_gpus", lambda: (L4, SECOND))
    pool.settings["cluster"] = GROUP_OF_TWO
    pool.write()
    with pytest.raises(ConfigError, match="2 nodes runs one engine, but there are 3"):
        member_command(load(pool.config, {}), saved(tmp_path, "values"), "pack-0")
    pool.settings["cluster"] = {"group": {"size": 2}}
    pool.write()
    with pytest.raises(ConfigError, match="needs the address of its rank 0"):
        load(pool.config, {})


def test_a_leader_ends_with_its_engine_so_that_the_group_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    monkeypatch.setattr("appliance.bootstrap.pack_plan.list_gpus", lambda: (L4,))
    group = {"size": 2, "rank": 0, "leader": "127.0.0.1"}
    pool.settings["cluster"] = {"group": group, "door": {"port": pool.settings["server"]["port"]}}
    pool.write()
    launcher = FakeLauncher()
    pack = build_pack(load(pool.config, {}), saved(tmp_path, "values"), "pack-1", make_launcher=lambda _: launcher)

    async def main() -> None:
        try:
            await pack.start()
            serving = asyncio.create_task(pack.serve())
            launcher.latest("fake-generalist-0").exit(1)
            with pytest.raises(EngineStartError, match="all nodes of the group have to start anew"):
                await asyncio.wait_for(serving, 10)
        finally:
            await pack.stop()

    asyncio.run(main())


def only_first() -> PlacementPlan:
    return replace(PLAN, packs=PLAN.packs[:1], engines=PLAN.engines[:3], gpus=PLAN.gpus[:2])
