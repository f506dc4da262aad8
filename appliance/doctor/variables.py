"""Environment variables that would send something out, or let something in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from appliance.doctor.finding import Finding, fail, ok, warn

CHECK = "environment"

PHONES_HOME = {
    "WANDB_API_KEY": "Weights & Biases would get figures of runs",
    "COMET_API_KEY": "Comet would get figures of runs",
    "SENTRY_DSN": "errors, with what stood in memory, would go to Sentry",
    "DD_AGENT_HOST": "traces would go to a Datadog agent",
    "LANGCHAIN_TRACING_V2": "prompts and answers would go to LangSmith",
    "LANGSMITH_TRACING": "prompts and answers would go to LangSmith",
    "VLLM_USAGE_STATS_SERVER": "vLLM would tell this server how it is used",
    "VLLM_USE_MODELSCOPE": "models would be looked for at ModelScope",
    "HF_ENDPOINT": "models would be looked for at this hub",
    "HF_HUB_ENABLE_HF_TRANSFER": "models would be downloaded",
}
"""Variable → what would happen."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy")
LETS_IN = {
    "PYTHONSTARTUP": "code runs at the start of interactive interpreters",
    "PYTHONPATH": "modules from there come before those of the environment",
    "PYTHONHOME": "another standard library is used",
    "PYTHONUSERBASE": "packages of the user are loaded",
    "LD_PRELOAD": "a library is loaded into every process, engines included",
    "LD_AUDIT": "a library watches every process",
    "PYTHONINSPECT": "interpreters wait for input after their program",
    "PYTHONWARNINGS": "a module may be named in it, which is loaded",
}
_SECRET = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|PRIVATE_KEY|CREDENTIALS?)$")
_OTHERS_KEYS = ("APPLIANCE_",)


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for each variable that is worth a word, or one that all is well. No value is shown."""
    found = [*_outward(environment), *_inward(environment), *_secrets(environment)]
    yield from found or [ok(CHECK, "nothing that phones home, lets code in, or need not be here")]


def _outward(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name, what in PHONES_HOME.items():
        if environment.get(name, "").lower() not in {"", "0", "false"}:
            yield warn(CHECK, f"{name} is set: {what}", f"unset {name}; engines do not get it, other programs do")
    for name in sorted(environment):
        if name.lower() in PROXIES and environment[name]:
            yield warn(CHECK, f"{name} is set: programs that honour it have a way out", f"unset {name} here")
    if environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        yield warn(
            CHECK,
            "OTEL_EXPORTER_OTLP_ENDPOINT is set: spans of other programs go there",
            "the appliance goes by telemetry.otlp_endpoint alone; unset it unless something else needs it",
        )


def _inward(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name, what in LETS_IN.items():
        if not environment.get(name):
            continue
        if name in {"LD_AUDIT", "PYTHONHOME"}:
            yield fail(CHECK, f"{name} is set: {what}", f"unset {name}")
        else:
            yield warn(CHECK, f"{name} is set: {what}", f"unset {name}, or make sure of what it names")


def _secrets(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in sorted(environment):
        if _SECRET.search(name) and environment[name] and not name.startswith(_OTHERS_KEYS) and name not in PHONES_HOME:
            yield warn(
                CHECK,
                f"{name} looks like a secret that the appliance does not need",
                f"unset {name}: every process of this user can read it; engines do not get it",
            )
