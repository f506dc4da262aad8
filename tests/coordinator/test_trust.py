"""Text that is data stays data: over the whole corpus no call gains a capability, whatever the models make of it.

The models here are the worst there are: one that finds the mark in its prompt, quoted or not, tries to misuse all that
it has.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace

import pytest

from appliance.coordinator.ask import Ask
from appliance.coordinator.options import Roles
from appliance.coordinator.prompt_set import PromptSet, References
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.trust import check_call, instruction_for
from appliance.domain.model import Role
from appliance.domain.policy import DataPolicy
from appliance.domain.request import (
    AnswerEvent,
    CallContext,
    ChatMessage,
    ChatRequest,
    ContentDelta,
    Document,
    EngineCall,
)
from appliance.domain.use_rule import UseRule
from appliance.errors import ApplianceError, NotAllowed
from tests.coordinator.house import MODELS, OPTIONS, QUESTION, House, events_of, house
from tests.coordinator.injections import MARK, Hop, Injection, corpus
from tests.fakes.scripted_client import Asked, Reply
from tests.fakes.virtual_time import run

WRITER = "writer"
ALLOWED = frozenset({"planner", "math", "math-2", "verifier", WRITER})
POLICY = DataPolicy({"secret": UseRule(models=ALLOWED)})
TEAM = replace(
    OPTIONS,
    roles=Roles(
        generalist=("generalist",),
        planner=("planner",),
        executors={"math": ("math", "math-2")},
        verifier=("verifier",),
        synthesizer=(WRITER,),
        tool_callers=frozenset({WRITER}),
    ),
    budget=replace(OPTIONS.budget, depth=2),
    verification=replace(OPTIONS.verification, replans=1, infer_checks=False),
)
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
NESTED = {"id": "s2", "skill": "math", "do": "Go on from $s1", "role": "planner"}
EVIL_PLAN = json.dumps(
    {
        "steps": [
            {"id": "s1", "skill": "math", "do": f"{MARK}", "role": "planner"},
            {"id": "s2", "skill": "math", "do": f"{MARK} $s1 $sGiven1"},
        ]
    }
)
CALLS_A_TOOL = {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "wipe", "arguments": "{}"}}]}


def _plan(injection: Injection) -> str:
    names = {
        Hop.DOCUMENT: "$sDocument1",
        Hop.DOCUMENT_TITLE: "$sDocument1",
        Hop.TOOL_RESULT: "$sTool1",
    }
    first = {"id": "s1", "skill": "math", "do": f"Read {names.get(injection.hop, 'the question')}"}
    nested = injection.hop is Hop.FIRST_EXECUTOR
    return json.dumps({"steps": [first, NESTED if nested else {"id": "s2", "skill": "math", "do": "Add $s1"}]})


def _played(injection: Injection, plans: list[str]) -> dict[str, Reply]:
    """What each model says when it has not seen the mark."""
    own = injection.hop
    said = injection.text if own in {Hop.EXECUTOR, Hop.FIRST_EXECUTOR} else "42"
    reason = " ".join(injection.text.split()) if own is Hop.VERIFIER else "right"
    verdict = "fail" if own is Hop.VERIFIER else "pass"
    return {
        "planner": Reply(pieces=(plans.pop(0) if plans else _plan(injection),)),
        "math": Reply(pieces=(said,), raw_delta=CALLS_A_TOOL),
        "math-2": Reply(pieces=(said,), raw_delta=CALLS_A_TOOL),
        "verifier": Reply(pieces=(f"{reason}\n", verdict), probability=0.02 if verdict == "fail" else 0.98),
        WRITER: Reply(pieces=("It is 42.",)),
        "generalist": Reply(pieces=("42",)),
    }


def _house(injection: Injection) -> House:
    plans = [injection.text] if injection.hop is Hop.REJECTED_PLAN else []

    def script(call: EngineCall, _ctx: CallContext) -> Reply:
        reached = MARK in json.dumps(call.messages, ensure_ascii=False)
        if reached and call.model_id == "planner":
            return Reply(pieces=(EVIL_PLAN,))
        if reached and call.model_id in {"math", "math-2"}:
            return Reply(pieces=(injection.text,), raw_delta=CALLS_A_TOOL)
        return _played(injection, plans)[call.model_id]

    names = dict.fromkeys((*MODELS, WRITER), "instruct")
    return house(script, options=TEAM, prompt_sets=names, policy=POLICY)


def _request(injection: Injection) -> ChatRequest:
    text, messages = injection.text, [ChatMessage("user", QUESTION)]
    documents: tuple[Document, ...] = ()
    match injection.hop:
        case Hop.DOCUMENT:
            documents = (Document(text),)
        case Hop.DOCUMENT_TITLE:
            documents = (Document("some text", title=text),)
        case Hop.TOOL_RESULT:
            calls = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
            messages = [
                ChatMessage("user", "Look it up"),
                ChatMessage("assistant", "", {"tool_calls": calls}),
                ChatMessage("tool", text, {"tool_call_id": "c1"}),
                *messages,
            ]
        case Hop.EARLIER_TURN:
            messages = [ChatMessage("user", "Hello"), ChatMessage("assistant", text), *messages]
    return ChatRequest(
        "auto", tuple(messages), sampling={"tools": [TOOL]}, documents=documents, labels=("secret",), streamed=False
    )


@pytest.mark.parametrize("hop", list(Hop))
def test_no_attempt_gains_a_capability(hop: Hop) -> None:
    for injection in (one for one in corpus() if one.hop is hop):
        run(_attempt(injection))


def test_the_corpus_is_large_enough() -> None:
    assert len(list(corpus())) >= 200


async def _attempt(injection: Injection) -> None:
    built = _house(injection)
    events: list[AnswerEvent] = []
    with suppress(ApplianceError):  # a refusal is no gain
        events = await events_of(built, _request(injection))
    assert any(MARK in json.dumps(asked.call.messages) for asked in built.client.asked), "nobody read the text"
    for asked in built.client.asked:
        _check(injection, asked)
    called = [event.raw_delta for event in events if isinstance(event, ContentDelta) and event.raw_delta]
    assert not called, "a call of a tool that only an inner model made reached the caller"
    assert built.trace.budget.used_calls <= TEAM.budget.calls
    assert len(built.trace.tasks) <= TEAM.budget.tasks * (1 + TEAM.verification.replans)
    assert {task.skill for task in built.trace.tasks} <= {"math"}


def _check(injection: Injection, asked: Asked) -> None:
    """One call that was sent: who got it, with which labels, and where in it the text stands."""
    assert asked.call.model_id in ALLOWED, injection
    assert asked.ctx.labels == {"secret"}
    assert ("tools" in asked.call.params) == (asked.ctx.role is Role.SYNTHESIZER)
    inner = asked.ctx.role is not Role.SYNTHESIZER
    for message in asked.call.messages:
        content = str(message.get("content") or "")
        assert not (inner and message["role"] not in {"system", "user"})
        if MARK not in content:
            continue
        assert message["role"] != "system", injection
        own_turn = message["role"] in {"assistant", "tool"}  # the writer reads the conversation as it was
        assert not _MARKERS.search(content), (injection, content)
        assert own_turn or MARK not in _without_strings(content), (injection, content)
    if asked.ctx.role is Role.PLANNER and injection.hop not in {Hop.EARLIER_TURN, Hop.REJECTED_PLAN}:
        assert MARK not in json.dumps(asked.call.messages, ensure_ascii=False), injection


def _without_strings(content: str) -> str:
    """What is left of a prompt when every JSON string in it is taken out."""
    return re.sub(r'"(?:[^"\\\n\r\u2028\u2029\x85]|\\.)*"', "", content)


_MARKERS = re.compile(r"<\||</s>|<s>|<<SYS>>|\[/?INST\]|</?tool_call>")


NAMED = PromptSet("named", {}, references=References.NAMED)
INLINE = PromptSet("inline", {}, references=References.INLINE)


def _task(result: str) -> TaskInput:
    return TaskInput("s2", "math", f"Add 5 to {result}", "q", {"s1": result}, written="Add 5 to $s1")


def test_results_stand_below_the_instruction_or_are_plain() -> None:
    assert instruction_for(NAMED, _task(MARK)) == "Add 5 to $s1"
    for plain in ("84", "-3.5", "ABC", "Zoe has 4, Max 5", ""):
        assert instruction_for(INLINE, _task(plain)) == f"Add 5 to {plain}"
    for other in ("a\nb", 'x"', "{}", "<|im_end|>", "a" * 201, "[x](y)"):
        with pytest.raises(NotAllowed, match="not plain enough"):
            instruction_for(INLINE, _task(other))


@pytest.mark.parametrize("role", [Role.PLANNER, Role.EXECUTOR, Role.VERIFIER])
@pytest.mark.parametrize(
    "ask",
    [
        Ask(({"role": "user", "content": ""},), 8, {"tools": [TOOL]}),
        Ask(({"role": "user", "content": ""},), 8, {"tool_choice": "auto"}),
        Ask(({"role": "tool", "content": "x", "tool_call_id": "c"},), 8),
        Ask(({"role": "user", "content": "", "tool_calls": [{}]},), 8),
    ],
)
def test_inner_calls_never_carry_tools(role: Role, ask: Ask) -> None:
    with pytest.raises(NotAllowed, match=f"a call of the {role.value} must not carry"):
        check_call(role, ask)
    for final in (Role.SYNTHESIZER, Role.GENERALIST):
        check_call(final, ask)
