from __future__ import annotations

import pytest

from appliance.domain.policy import OPEN, DataPolicy, LabelRule

POLICY = DataPolicy(
    {
        "internal": LabelRule(),
        "secret": LabelRule(models=frozenset({"small"}), nodes=frozenset({"vault"})),
        "health": LabelRule(nodes=frozenset({"vault", "ward"})),
        "sealed": LabelRule(models=frozenset()),
    }
)


@pytest.mark.parametrize(
    ("labels", "model_id", "node", "refusal"),
    [
        ((), "large", "local", ""),
        (("internal",), "large", "local", ""),
        (("secret",), "small", "vault", ""),
        (("secret",), "large", "vault", "label secret: large is not allowed for it"),
        (("secret",), "small", "ward", "label secret: node ward is not allowed for it"),
        (("health", "secret"), "small", "ward", "label secret: node ward is not allowed for it"),
        (("secret", "health"), "small", "local", "label health: node local is not allowed for it"),
        (("sealed",), "small", "vault", "label sealed: small is not allowed for it"),
        (("internal", "unheard"), "small", "vault", "label unheard: it is not known"),
    ],
)
def test_every_label_must_allow_model_and_node(labels: tuple[str, ...], model_id: str, node: str, refusal: str) -> None:
    assert POLICY.refusal(labels, model_id, node) == refusal


def test_without_rules_every_label_is_unknown_and_nothing_sees_its_data() -> None:
    assert OPEN.unknown(["b", "a"]) == ("a", "b")
    assert OPEN.refusal(["a"], "small", "local")
    assert not OPEN.refusal([], "small", "local")
