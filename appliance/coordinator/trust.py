"""What may reach which call: plans are made before untrusted text is read, and it is data wherever it goes. Pure.

Untrusted are documents, results of tools and what other models have written. Three rules, none of which leans on what
a model makes of a prompt:

1. Planners get none of it, but the names under which their plans may refer to it (`withheld`).
2. Everybody else gets it below the instruction, in JSON strings. A family of models that can only read results inside
   an instruction gets those of a plain form only (`instruction_for`).
3. Only who writes the final answer may call the caller's tools (`check_call`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from appliance.coordinator.ask import Ask
from appliance.coordinator.prompt_set import PromptSet, References
from appliance.coordinator.references import REFERENCE
from appliance.coordinator.task_graph import TaskInput
from appliance.domain.model import Role
from appliance.domain.request import ChatMessage, ChatRequest
from appliance.errors import NotAllowed

DOCUMENT = "document"
TOOL = "tool"

_NAMES = {DOCUMENT: "sDocument", TOOL: "sTool"}
_PLAIN = re.compile(r"[\w .,:;+*/=()%$-]{0,200}")
_FINAL_ROLES = frozenset({Role.SYNTHESIZER, Role.GENERALIST})
_FINAL_FIELDS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_INNER_MESSAGES = frozenset({"system", "user"})


def withheld(request: ChatRequest) -> Mapping[str, str]:
    """Name → text of the documents and of the results of tools, in order; a name stays the same in later turns."""
    texts = {f"{_NAMES[DOCUMENT]}{n}": document.as_text() for n, document in enumerate(request.documents, 1)}
    results = (message.content for message in request.messages[:-1] if message.role == TOOL)
    return texts | {f"{_NAMES[TOOL]}{number}": text for number, text in enumerate(results, 1)}


def without_results(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """The messages with the name of each result of a tool in its place."""
    kept: list[ChatMessage] = []
    number = 0
    for message in messages:
        if message.role == TOOL:
            number += 1
            said = f"${_NAMES[TOOL]}{number} ({len(message.content)} characters)"
            message = ChatMessage(TOOL, said, message.extra)
        kept.append(message)
    return tuple(kept)


def instruction_for(prompts: PromptSet, task: TaskInput) -> str:
    """The instruction as models of a set may read it. Raises NotAllowed for a result that must not stand in one."""
    if prompts.references is References.NAMED:
        return task.written or task.instruction
    for name in REFERENCE.findall(task.written):
        result = task.inputs.get(name, "")
        if not _PLAIN.fullmatch(result):
            raise NotAllowed(
                f"the result of {name} ({len(result)} characters) is not plain enough to stand in an instruction"
            )
    return task.instruction


def check_call(role: Role, ask: Ask) -> None:
    """Raises NotAllowed where a call of `role` would carry what only the final answer's may."""
    if role in _FINAL_ROLES:
        return
    carried = _FINAL_FIELDS & ask.params.keys()
    spoken, called = set[str](), False
    for message in ask.messages:
        said_by = message.get("role")
        if said_by not in _INNER_MESSAGES:
            spoken.add(str(said_by))
        called = called or bool(message.get("tool_calls") or message.get("tool_call_id"))
    if carried or spoken or called:
        what = ", ".join(sorted(carried | spoken)) or "calls of tools"
        raise NotAllowed(f"a call of the {role.value} must not carry {what}")
