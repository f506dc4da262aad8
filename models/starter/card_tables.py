"""The tables of the model cards, from evaluation.json and the training logs."""

from typing import Any

Json = dict[str, Any]


def percent(value: float) -> str:
    """`97.3`."""
    return f"{100 * value:.1f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def suite_table(suite: Json) -> str:
    """Every way to answer, by number of steps and by wording, with what it costs."""
    head = ["way", "1", "2", "3", "4", "5", "all", "seen wordings", "unseen wordings", "tokens written", "tokens read"]
    rows = [
        [
            name,
            *(percent(value) for value in way["by_steps"].values()),
            percent(way["all"]),
            percent(way["by_wording"]["seen"]),
            percent(way["by_wording"]["unseen"]),
            f"{way['tokens']:.0f}",
            f"{way['prompt_tokens']:.0f}",
        ]
        for name, way in suite["ways"].items()
    ]
    return table(head, rows)


def tests_table(suite: Json) -> str:
    """The paired tests."""
    rows = [
        [name, str(test["only_first"]), str(test["only_second"]), f"{test['p']:.2g}"]
        for name, test in suite["paired_tests"].items()
    ]
    return table(["comparison", "only the first is right", "only the second is right", "p (McNemar, exact)"], rows)


def kinds_table(figures: Json) -> str:
    """An executor by kind of operation."""
    rows = [[f"`{kind}`", percent(value)] for kind, value in figures["by_kind"].items()]
    rows.append(["all", percent(figures["all"])])
    return table(["operation", "right, %"], rows)


def plans_table(figures: Json) -> str:
    """Plans that are exact, by family and wording."""
    families = figures["seen"]["by_family"]
    rows = [
        [family, percent(figures["seen"]["by_family"][family]), percent(figures["unseen"]["by_family"][family])]
        for family in families
    ]
    rows.append(["all", percent(figures["seen"]["all"]), percent(figures["unseen"]["all"])])
    return table(["family", "seen wordings, %", "unseen wordings, %"], rows)


def verdicts_table(figures: Json) -> str:
    """The verifier on the executors' own results."""
    rows = []
    for source in ("greedy", "sampled"):
        for skill in ("all", "math", "text"):
            part = figures[source][skill]
            rows.append(
                [
                    source,
                    skill,
                    str(part["wrong"]),
                    percent(part["recall"]) if part["wrong"] else "–",
                    str(part["right"]),
                    f"{100 * part['false_alarms']:.2f}",
                ]
            )
    head = ["executor", "skill", "wrong results", "found, %", "right results", "false alarms, %"]
    errors = ", ".join(f"{source} {figures[source]['calibration_error']:.4f}" for source in ("greedy", "sampled"))
    return table(head, rows) + f"\n\nExpected calibration error of its probability: {errors}."


def repair_table(study: Json) -> str:
    """What repair does to right plans of validation problems, by its settings."""
    rows = [[name, percent(row["right"]), f"{row['tokens']:.0f}"] for name, row in study.items()]
    return table(["fresh samples on a doubted result", "right, %", "tokens per problem, plan not counted"], rows)


def training_table(logs: dict[str, Json]) -> str:
    """What each training cost."""
    rows = []
    for name, log in logs.items():
        compute = 6 * log["parameters"] * log["tokens"]
        rows.append(
            [
                name,
                f"{log['parameters'] / 1e6:.2f} M",
                f"{log['steps']}",
                f"{log['tokens'] / 1e6:.1f} M",
                f"{log['answer_tokens'] / 1e6:.1f} M",
                f"{log['seconds'] / 60:.0f}",
                f"{log['cpu_seconds']:.0f}",
                f"{compute:.2g}",
            ]
        )
    head = [
        "model",
        "parameters",
        "updates",
        "tokens",
        "of them learnt",
        "minutes of one core",
        "thread-seconds",
        "FLOPs (6·N·tokens)",
    ]
    return table(head, rows)
