"""YAML and environment → frozen settings, once; every error names the file, the key and what to do."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from appliance.domain import engine_args
from appliance.domain.identifier import Identifier
from appliance.domain.placement_settings import PlacementSettings
from appliance.domain.routing_settings import EffortsSettings, Pattern, RuleSettings, rule_problems, unknown
from appliance.domain.strategy import BUILT_IN, DIRECT, PASSTHROUGH, PLAN_EXECUTE_VERIFY
from appliance.domain.strategy_settings import BestOfNSettings, CascadeSettings, SelfConsistencySettings, unknown_models
from appliance.domain.telemetry_settings import TelemetrySettings
from appliance.errors import ConfigError

DottedPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]

ENVIRONMENT_OVERRIDES = {
    "APPLIANCE_HOST": ("server", "host"),
    "APPLIANCE_PORT": ("server", "port"),
    "APPLIANCE_DATA_DIR": ("data_dir",),
    "APPLIANCE_ENGINE_PYTHON": ("engines", "python"),
}
"""Environment variables that win over the file, and the key that each of them sets."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ServerSettings(_Section):
    """The HTTP door."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs `require_api_key`."""
    port: int = Field(8000, ge=1, le=65535)
    """TCP port to listen on."""
    require_api_key: bool = True
    """Ask every caller for a bearer key, except at /health and /ready."""
    api_key_file: Path = Path("api-key")
    """File with one key per line, below `data_dir` unless absolute. Made with one random key when it is not there."""
    max_body_bytes: int = Field(2_000_000, ge=1_000)
    """Larger request bodies are refused."""
    keep_alive_s: float = Field(10, gt=0)
    """A stream that has nothing to say for so long sends a comment, so that proxies keep it open."""

    @model_validator(mode="after")
    def _open_only_on_loopback(self) -> Self:
        if not self.require_api_key and self.host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("require_api_key: false is allowed on a loopback host only; set host to 127.0.0.1")
        return self


class EnginesSettings(_Section):
    """How engine processes are run."""

    python: Path = Path(".venv-engine/bin/python")
    """Python interpreter of the environment that holds vLLM."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes CUDA when NVML shows a GPU."""
    first_port: int = Field(8100, ge=1024, le=65000)
    """Engines listen on loopback at the first free ports from here on."""
    start_timeout_s: float = Field(300, gt=0)
    """An engine that has not generated a token by then has failed to start."""
    drain_timeout_s: float = Field(10, ge=0)
    """Requests in flight get this long to finish when an engine stops."""
    probe_every_s: float = Field(3, gt=0)
    """A ready engine is asked for one token this often."""
    probe_silent_s: float = Field(6, gt=0)
    """An engine that answers no probe for so long, and does nothing else either, is replaced. It must be longer than
    two steps of the slowest model."""
    sample_every_s: float = Field(5, gt=0)
    """Memory and load of the engines, for `GET /fleet` and `appliance status`, are looked at this often."""
    turn_shortest_s: float = Field(5, ge=0)
    """Of models that take turns on GPUs, the one that is awake stays so at least this long."""
    turn_longest_s: float = Field(60, gt=0)
    """It goes to sleep after this long when another one waits, even with work left."""
    max_parallel_starts: int = Field(8, ge=1)
    """Engines started at once on the CPU. Engines that share a GPU always start one after the other."""

    @model_validator(mode="after")
    def _turns_in_order(self) -> Self:
        if self.turn_shortest_s > self.turn_longest_s:
            raise ValueError("turn_shortest_s is more than turn_longest_s; lower it")
        return self


class EngineSettings(_Section):
    """vLLM's options of one pool member, under vLLM's names."""

    max_model_len: int = Field(4096, ge=16)
    """Longest prompt and answer together, in tokens."""
    max_num_seqs: int = Field(64, ge=1)
    """Sequences in one batch."""
    max_num_batched_tokens: int = Field(2048, ge=16)
    """Tokens in one step."""
    kv_cache_memory_bytes: int = Field(ge=1_000_000)
    """Bytes of KV cache per GPU: pinned, not a fraction, so that neighbours on a GPU leave each other alone."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """vLLM checks it at start even when the KV bytes are pinned; ignored on the CPU."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs per engine."""
    gpu_ids: tuple[str, ...] = ()
    """GPU indices or UUIDs; as many as `tensor_parallel_size`. Empty on the CPU."""
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    """Type of weights and activations."""
    enforce_eager: bool = False
    """No CUDA graphs and no compilation: a quick start, slower tokens."""
    cpu_threads: int = Field(1, ge=1)
    """OpenMP threads of a CPU engine."""
    extra_args: tuple[str, ...] = ()
    """Further vLLM options, as they would stand on its command line. What a setting says already is refused.
    `--kv-cache-dtype` and `--quantization fp8` count in the plan; what else changes memory counts once a start has
    measured it."""

    @field_validator("extra_args")
    @classmethod
    def _nothing_twice(cls, args: tuple[str, ...]) -> tuple[str, ...]:
        if problems := engine_args.refusals(args):
            raise ValueError("; ".join(problems))
        return args

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.gpu_ids and len(self.gpu_ids) != self.tensor_parallel_size:
            raise ValueError(
                f"gpu_ids names {len(self.gpu_ids)} GPUs, but tensor_parallel_size is {self.tensor_parallel_size}; "
                "make them equal"
            )
        return self


class PoolMember(_Section):
    """One model of the pool and how many engines serve it."""

    model: Identifier
    """Id of a catalog manifest."""
    replicas: int = Field(1, ge=1, le=64)
    """Engines that serve it."""
    engine: EngineSettings
    """Options of each of its engines."""


class ModelsSettings(_Section):
    """Where models are described and stored."""

    catalog: Path
    """Directory of manifests (*.yaml)."""
    store: Path
    """Directory with one directory of weights per model id."""
    verify_digests: bool = True
    """Hash every file of a model against its manifest before an engine starts."""


class RolesSettings(_Section):
    """Which model plays which role. A list is an order of preference: the next one is taken when one fails."""

    planner: tuple[Identifier, ...] = ()
    """Models that turn a question into a task graph. Empty: everything is answered directly."""
    executors: dict[Identifier, tuple[Identifier, ...]] = Field(default_factory=dict)
    """Skill → models that carry out a task of this skill."""
    verifier: tuple[Identifier, ...] = ()
    """Models that judge a result. Empty: results are not verified."""
    synthesizer: tuple[Identifier, ...] = ()
    """Models that write the answer from the results. Empty: the last task's result is the answer."""
    generalist: tuple[Identifier, ...] = Field(min_length=1)
    """Models that answer in one call: the direct strategy, and the fallback."""


class DirectRule(_Section):
    """When `auto` orchestrates: the prompt shows at least `min_cues` matches of the `cues` taken together."""

    cues: tuple[Pattern, ...] = ()
    """Regular expressions; each match counts once."""
    min_cues: int = Field(2, ge=0)
    """Fewer matches than this: the generalist answers directly."""
    max_prompt_chars: int = Field(20_000, ge=1)
    """Longer prompts are answered directly."""


class BudgetSettings(_Section):
    """Limits of one request, over all calls below it. A caller may lower them for a request of its own."""

    calls: int = Field(32, ge=1)
    """Engine calls."""
    tokens: int = Field(16_000, ge=16)
    """Prompt and completion tokens together."""
    wall_s: float = Field(120, gt=0)
    """Seconds."""
    tasks: int = Field(16, ge=1)
    """Tasks in a plan."""
    gpu_s: float | None = Field(None, gt=0)
    """Device-seconds: calls that run beside each other on an engine share the time of its GPUs, and an engine on the
    CPU counts as one device. Null: no limit."""
    depth: int = Field(2, ge=1, le=8)
    """How deep plans may stand in each other: 1 is one plan, with 2 a task of it may be planned again."""


class TenantBudgetSettings(_Section):
    """What each tenant may use, all of its requests together. Null: no limit."""

    tokens_per_min: int | None = Field(None, ge=1)
    """Prompt and completion tokens within the last minute."""
    gpu_s_per_hour: float | None = Field(None, gt=0)
    """Device-seconds within the last hour."""
    requests_in_flight: int | None = Field(None, ge=1)
    """Requests that are answered at the same time; more of them are refused with 429 and a time to wait."""


class RoleLimits(_Section):
    """Sampling of one role."""

    max_tokens: int = Field(512, ge=1)
    """Longest answer of one call."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Sampling temperature of the first attempt."""


class VerificationSettings(_Section):
    """How results are judged and mended."""

    enabled: bool = True
    """Off: results are taken as they come."""
    threshold: float = Field(0.5, ge=0, le=1)
    """A result passes when the verifier's probability of `pass` is at least this."""
    repair_attempts: int = Field(2, ge=0, le=16)
    """Fresh samples after a failed verdict, with the failed result and the reason shown where the prompt set can. When
    no attempt passes, the one with the highest probability is taken."""
    other_model_attempts: int = Field(1, ge=0, le=8)
    """Attempts after those by other models of the skill, where `roles.executors` names more than one."""
    repair_temperature: float = Field(0.8, ge=0, le=2)
    """Sampling temperature of those, and of another plan where the planner's prompt set resamples."""
    infer_checks: bool = True
    """Where an instruction asks for the value of an arithmetic expression and nothing else, reckon it exactly instead
    of asking a verifier. Checks that a plan asks for are always made."""
    replans: int = Field(1, ge=0, le=4)
    """Other plans to try when a task fails verification in every attempt. When none of them passes as a whole, the
    first one is carried on with the likeliest results."""


class CoordinatorSettings(_Section):
    """How `auto` answers."""

    virtual_model: Identifier = "auto"
    """Name under which callers reach the coordinator."""
    strategies: dict[Identifier, DottedPath] = Field(default_factory=dict)
    """Further strategies: name → `package.module:Class` of a class without arguments that has the method `answer`."""
    easy: Identifier = DIRECT
    """Strategy of requests with few cues."""
    orchestrated: Identifier = PLAN_EXECUTE_VERIFY
    """Strategy of requests with enough cues."""
    rules: tuple[RuleSettings, ...] = ()
    """Rules that come before the cues, in order: the first that matches decides."""
    cascade: CascadeSettings = Field(default_factory=lambda: CascadeSettings())
    """Settings of the strategy `cascade`."""
    best_of_n: BestOfNSettings = Field(default_factory=lambda: BestOfNSettings())
    """Settings of the strategy `best_of_n`."""
    self_consistency: SelfConsistencySettings = Field(default_factory=lambda: SelfConsistencySettings())
    """Settings of the strategy `self_consistency`."""
    effort: EffortsSettings = Field(default_factory=lambda: EffortsSettings())
    """What each effort allows."""
    allow_choice: bool = False
    """Callers may choose the strategy with the body field `strategy`: for evaluations and replays."""
    direct: DirectRule = Field(default_factory=lambda: DirectRule())
    """The rule that chooses between direct and orchestrated."""
    budget: BudgetSettings = Field(default_factory=lambda: BudgetSettings())
    """Limits of one request."""
    tenant_budget: TenantBudgetSettings = Field(default_factory=lambda: TenantBudgetSettings())
    """Limits of each tenant."""
    verification: VerificationSettings = Field(default_factory=lambda: VerificationSettings())
    """How results are judged and mended."""
    early_start: bool = True
    """Carry out the steps of a plan while the planner still writes the rest of it."""
    limits: dict[Literal["planner", "executor", "verifier", "synthesizer", "generalist"], RoleLimits] = Field(
        default_factory=dict
    )
    """Sampling by role."""

    def known_strategies(self) -> tuple[str, ...]:
        """Names that `auto` may be answered with."""
        return (*BUILT_IN, *self.strategies)

    def problems(self, pool: Collection[str], *, can_plan: bool) -> Iterator[str]:
        """Names that are not there and rules that can't be meant so, each with its key and the way out."""
        known = self.known_strategies()
        named = [("easy", self.easy), ("orchestrated", self.orchestrated)]
        for effort, allows in self.effort.by_effort():
            named += [(f"effort.{effort.value}.strategies", name) for name in allows.strategies or ()]
        yield from (unknown(key, name, known) for key, name in named if name not in known)
        yield from rule_problems(self.rules, known)
        yield from self.cascade.problems(known, can_plan=can_plan)
        for key, models in (
            ("cascade.models", self.cascade.models),
            ("best_of_n.models", self.best_of_n.models),
            ("self_consistency.models", self.self_consistency.models),
        ):
            yield from unknown_models(key, models, pool)
        for name in self.strategies:
            if name in (*BUILT_IN, PASSTHROUGH):
                yield f"coordinator.strategies.{name}: the house has a strategy of this name; choose another one"


class LabelSettings(_Section):
    """What may see data of one label. What is left out is not asked about."""

    models: tuple[Identifier, ...] | None = None
    """Models of the pool."""
    licences: tuple[str, ...] | None = None
    """Models under one of these licences (SPDX identifiers)."""
    countries: tuple[str, ...] | None = None
    """Models from one of these countries, as their manifests name it."""
    nodes: tuple[str, ...] | None = None
    """Engines on these nodes. `local` is this machine."""


class PolicySettings(_Section):
    """Which data may go where. It is asked before each call, and again for each engine that could take the call."""

    labels: dict[Identifier, LabelSettings] = Field(default_factory=dict)
    """Labels that requests may bear. A request with any other label is refused."""
    default_labels: tuple[Identifier, ...] = ()
    """Labels that the data of every request bear, whatever the request says."""

    def problems(self, pool: Collection[str]) -> list[str]:
        """Names that the rest of the configuration does not know, each with its key and the way out."""
        found = [
            f"policy.labels.{label}.models: {model} is not in the pool; name one of {', '.join(pool)}"
            for label, rule in self.labels.items()
            for model in rule.models or ()
            if model not in pool
        ]
        return found + [
            f"policy.default_labels: {label} has no rule; add it under policy.labels"
            for label in self.default_labels
            if label not in self.labels
        ]


class LedgerSettings(_Section):
    """Where traces are kept."""

    file: Path = Path("ledger.sqlite")
    """SQLite file, below `data_dir` unless absolute."""
    journal_file: Path = Path("journal.sqlite")
    """SQLite file of the requests that are being answered, below `data_dir` unless absolute. After a crash the next
    start makes traces of it."""
    keep_content: bool = False
    """Keep prompts and answers in traces; without it only sizes, times and verdicts are kept."""
    keep_days: int = Field(30, ge=1)
    """Older traces are deleted at start."""


class Settings(_Section):
    """The whole configuration of one appliance."""

    version: Literal[1] = 1
    """Version of this schema."""
    data_dir: Path = Path("var")
    """Directory for keys, the ledger, logs, caches and the lock; relative to the working directory."""
    server: ServerSettings = Field(default_factory=lambda: ServerSettings())
    """The HTTP door."""
    engines: EnginesSettings = Field(default_factory=lambda: EnginesSettings())
    """How engine processes are run."""
    models: ModelsSettings
    """Where models are described and stored."""
    pool: tuple[PoolMember, ...] = Field(min_length=1)
    """The models that are served."""
    roles: RolesSettings
    """Which model plays which role."""
    coordinator: CoordinatorSettings = Field(default_factory=lambda: CoordinatorSettings())
    """How `auto` answers."""
    policy: PolicySettings = Field(default_factory=lambda: PolicySettings())
    """Which data may go where."""
    ledger: LedgerSettings = Field(default_factory=lambda: LedgerSettings())
    """Where traces are kept."""
    telemetry: TelemetrySettings = Field(default_factory=lambda: TelemetrySettings())
    """What is told to an OpenTelemetry collector."""
    placement: PlacementSettings = Field(default_factory=lambda: PlacementSettings())
    """What a placement plan goes by, and whether it is followed."""

    _source: str = PrivateAttr(default="")

    @property
    def source(self) -> str:
        """The file that these settings came from."""
        return self._source

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        pool = [member.model for member in self.pool]
        for model in pool:
            if pool.count(model) > 1:
                raise ValueError(f"pool: {model} stands twice; use replicas")
            if model == self.coordinator.virtual_model:
                raise ValueError(f"coordinator.virtual_model: {model} is also a model of the pool; rename one")
        for key, models in self.role_models().items():
            for model in models:
                if model not in pool:
                    raise ValueError(f"roles.{key}: {model} is not in the pool; add it there or name one of {pool}")
        if self.roles.planner and not self.roles.executors:
            raise ValueError("roles.executors: a planner needs at least one skill with an executor")
        problems = [*self.coordinator.problems(pool, can_plan=bool(self.roles.planner)), *self.policy.problems(pool)]
        if problems := [*problems, *self.placement.problems(pool, self.role_models())]:
            raise ValueError("; ".join(problems))
        return self

    def role_models(self) -> dict[str, tuple[str, ...]]:
        """Dotted role key → models, as in the file."""
        roles = self.roles
        named = {f"executors.{skill}": models for skill, models in roles.executors.items()}
        return named | {
            "planner": roles.planner,
            "verifier": roles.verifier,
            "synthesizer": roles.synthesizer,
            "generalist": roles.generalist,
        }

    def below_data_dir(self, path: Path) -> Path:
        """`path`, taken below `data_dir` unless it is absolute."""
        return path if path.is_absolute() else self.data_dir / path


def load(path: Path, environment: dict[str, str] | None = None) -> Settings:
    """Read and check one configuration file.

    Relative paths under `models` are taken from the file's own directory. Raises ConfigError.
    """
    environment = dict(os.environ) if environment is None else environment
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give an existing one with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {_one_line(error)}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a mapping of settings at the top; see config/starter.yaml")
    _override(document, environment)
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from None
    return _anchored(settings, path)


def describe(error: ValidationError) -> str:
    """All problems of a validation error in one line, each with its key."""
    problems = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key; see `appliance config schema` for the known ones"
        problems.append(f"{key}: {message}" if key else message)
    return "; ".join(problems)


def json_schema() -> dict[str, Any]:
    """JSON Schema of a configuration file, for editors and `appliance config schema`."""
    schema = Settings.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Configuration of the appliance"
    return schema


def _override(document: dict[str, Any], environment: dict[str, str]) -> None:
    for variable, keys in ENVIRONMENT_OVERRIDES.items():
        if variable not in environment:
            continue
        section = document
        for key in keys[:-1]:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                break  # the schema's error names the key
        else:
            section[keys[-1]] = environment[variable]


def _anchored(settings: Settings, path: Path) -> Settings:
    base = path.resolve().parent
    models = settings.models.model_copy(
        update={"catalog": _below(base, settings.models.catalog), "store": _below(base, settings.models.store)}
    )
    anchored = settings.model_copy(update={"models": models})
    anchored._source = str(path)
    return anchored


def _below(base: Path, path: Path) -> Path:
    """`path` from `base` on, without `..` in it, so that messages can be read. Links stay as they are."""
    return Path(os.path.normpath(base / path))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
