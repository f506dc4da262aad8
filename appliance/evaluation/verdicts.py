"""Has verifiers judge labelled results, with exactly the calls that the coordinator makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from appliance.coordinator.ask import Ask
from appliance.coordinator.options import Sampling
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.verifier import read_verdict, verifier_ask
from appliance.domain.request import TokenLogprob
from appliance.domain.trace import Verdict
from appliance.evaluation.calibration import LabelledVerdict
from appliance.evaluation.labelled_set import LabelledResult

_TASK_ID = "calibration"


@dataclass(frozen=True, slots=True)
class Reading:
    """A verifier's answer."""

    text: str
    tokens: tuple[TokenLogprob, ...]


AskModel = Callable[[str, Ask], Reading]
"""Makes one call of a model by its name and blocks until it is answered. Called from several threads at once."""


def judged(
    labelled: Sequence[LabelledResult],
    verifiers: Mapping[str, PromptSet],
    sampling: Sampling,
    ask_model: AskModel,
    *,
    at_once: int,
    done: Callable[[], None] = lambda: None,
) -> tuple[LabelledVerdict, ...]:
    """The verdict of each verifier on each result whose skill it understands, in order; `done` is called after each.

    Raises what `ask_model` raises.
    """

    def judge(verifier: str, item: LabelledResult) -> LabelledVerdict:
        prompts = verifiers[verifier]
        task = TaskInput(_TASK_ID, item.skill, item.instruction, item.question, item.inputs)
        reading = ask_model(
            verifier, verifier_ask(prompts, task, item.result, sampling, seed_of(item.instruction, _TASK_ID, 1))
        )
        judgement = read_verdict(prompts, reading.text, reading.tokens, 0.5)
        probability = 0.0 if judgement.verdict is Verdict.UNSURE else judgement.probability
        done()
        return LabelledVerdict(verifier, item.skill, probability, item.right)

    wanted = [(name, item) for name, p in verifiers.items() for item in labelled if p.judges_skill(item.skill)]
    with ThreadPoolExecutor(at_once) as pool:
        calls = [pool.submit(judge, verifier, item) for verifier, item in wanted]
        try:
            return tuple(call.result() for call in calls)
        finally:
            pool.shutdown(cancel_futures=True)
