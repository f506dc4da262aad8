from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.policy import OPEN, DataPolicy, Denial, Grant, TenantPolicy, Wish
from appliance.domain.request import Effort
from appliance.domain.use_rule import EFFORTS, Origin, UseRule

POLICY = DataPolicy(
    {
        "internal": UseRule(),
        "secret": UseRule(models=frozenset({"small"}), nodes=frozenset({"vault"})),
        "health": UseRule(nodes=frozenset({"vault", "ward"})),
        "sealed": UseRule(models=frozenset()),
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
    assert OPEN.refusal(["a"], "small", "local")
    assert not OPEN.refusal([], "small", "local")


FRENCH, CHINESE = Origin("Apache-2.0", "France", "Mistral"), Origin("MIT", "China", "DeepSeek")
TEAMS = DataPolicy(
    rules={"internal": UseRule(), "secret": UseRule(nodes=frozenset({"vault"}), keep_content=False, keep_days=1)},
    policies={
        "research": TenantPolicy(
            rule=UseRule(licences=frozenset({"Apache-2.0"}), max_tokens=100, max_effort=Effort.LOW, keep_content=True),
            for_labels={"secret": UseRule(models=frozenset({"small"}))},
            only_labels=frozenset({"internal", "secret"}),
        ),
        "batch": TenantPolicy(
            rule=UseRule(max_tokens=100, max_effort=Effort.LOW, strategies=frozenset({"direct"}), clip=True),
        ),
    },
    origins={"small": FRENCH, "large": CHINESE, "nameless": Origin()},
)


@pytest.mark.parametrize(
    ("policy", "labels", "model_id", "node", "denial"),
    [
        ("research", (), "small", "local", None),
        ("research", (), "large", "local", "policy research: licence MIT of large is not allowed for it"),
        ("research", (), "nameless", "local", "policy research: the licence of nameless is not known"),
        ("research", (), "unheard", "local", "policy research: the licence of unheard is not known"),
        ("research", ("secret",), "small", "vault", None),
        ("research", ("secret",), "small", "local", "label secret: node local is not allowed for it"),
        ("research", ("secret",), "small", None, None),
        ("batch", ("secret",), "large", "vault", None),
        ("default", ("internal",), "large", "anywhere", None),
        ("nowhere", (), "small", "local", "policy nowhere: there is none of this name"),
        ("batch", ("unheard",), "small", "local", "label unheard: it is not known"),
    ],
)
def test_policy_and_labels_must_all_allow(
    policy: str, labels: tuple[str, ...], model_id: str, node: str | None, denial: str | None
) -> None:
    found = TEAMS.denial(policy, labels, model_id, node)
    assert (found is None) if denial is None else str(found).startswith(denial)


def test_a_rule_of_the_policy_for_a_label_is_named() -> None:
    policies = {"p": TenantPolicy(for_labels={"internal": UseRule(models=frozenset())})}
    found = DataPolicy({"internal": UseRule()}, policies).denial("p", ["internal"], "small")
    assert str(found) == "policy p, label internal: small is not allowed for it"


def test_a_label_that_a_policy_does_not_bear_is_refused() -> None:
    policy = DataPolicy({"a": UseRule(), "b": UseRule()}, {"p": TenantPolicy(only_labels=frozenset({"a"}))})
    assert policy.denial("p", ["a"], "m") is None
    assert str(policy.denial("p", ["b"], "m")) == "policy p: label b may not be borne under it"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(max_tokens=101), "policy research: max_tokens 101 is more than 100; ask for less"),
        (Wish(effort=Effort.HIGH), "policy research: effort high is more than low; ask for less"),
    ],
)
def test_what_goes_beyond_is_refused_by_default(wish: Wish, words: str) -> None:
    assert str(TEAMS.granted("research", (), wish)) == words


def test_what_goes_beyond_is_clipped_where_the_rule_says_so() -> None:
    grant = TEAMS.granted("batch", (), Wish(500, Effort.HIGH, "best_of_n"))
    assert isinstance(grant, Grant)
    assert grant.wish == Wish(100, Effort.LOW, None)
    assert grant.strategies == frozenset({"direct"})
    assert [str(left_out.step) for left_out in grant.clipped] == [
        "max_tokens is at most 100", "effort is at most low", "not by best_of_n",
    ]  # fmt: skip


def test_a_model_by_name_is_a_strategy_that_is_never_clipped_to_another() -> None:
    assert str(TEAMS.granted("batch", (), Wish(strategy="passthrough"))).startswith(
        "policy batch: strategy passthrough"
    )


def test_who_does_not_say_gets_what_is_allowed() -> None:
    grant = TEAMS.granted("research", (), Wish())
    assert isinstance(grant, Grant)
    assert grant.wish == Wish(100, Effort.LOW, None)


def test_a_label_forbids_keeping_and_never_allows_it() -> None:
    def granted(policy: str, *labels: str) -> Grant:
        grant = TEAMS.granted(policy, labels, Wish())
        assert isinstance(grant, Grant)
        return grant

    assert (granted("research").keep_content, granted("research").keep_days) == (True, None)
    assert (granted("research", "secret").keep_content, granted("research", "secret").keep_days) == (False, 1)
    assert granted("batch").keep_content is None


NAMES = st.frozensets(st.sampled_from(["a", "b", "c"]))
RULES = st.builds(
    UseRule,
    models=st.none() | NAMES,
    nodes=st.none() | NAMES,
    strategies=st.none() | NAMES,
    max_effort=st.none() | st.sampled_from(list(Effort)),
    max_tokens=st.none() | st.integers(1, 9),
    keep_content=st.none() | st.booleans(),
    keep_days=st.none() | st.integers(1, 9),
    clip=st.booleans(),
)
POLICIES = st.builds(
    lambda labels, rule, mine: DataPolicy(labels, {"p": TenantPolicy(rule, for_labels=mine)}),
    st.dictionaries(st.sampled_from(["x", "y", "z"]), RULES),
    RULES,
    st.dictionaries(st.sampled_from(["x", "y", "z"]), RULES),
)


@given(POLICIES, st.frozensets(st.sampled_from("xyz")), st.frozensets(st.sampled_from("xyz")), st.data())
def test_a_further_label_never_allows_more(
    policy: DataPolicy, labels: frozenset[str], more: frozenset[str], data: st.DataObject
) -> None:
    model_id, node = data.draw(st.sampled_from("abc")), data.draw(st.sampled_from("abc"))
    if policy.refusal(labels, model_id, node, "p"):
        assert policy.refusal(labels | more, model_id, node, "p")
    wish = Wish(data.draw(st.none() | st.integers(1, 9)), data.draw(st.sampled_from(list(Effort))))
    few, many = policy.granted("p", labels, wish), policy.granted("p", labels | more, wish)
    if isinstance(few, Denial):
        assert isinstance(many, Denial)
    elif isinstance(many, Grant):
        assert (many.wish.max_tokens or 99) <= (few.wish.max_tokens or 99)
        assert EFFORTS.index(many.wish.effort) <= EFFORTS.index(few.wish.effort)
        assert few.strategies is None or (many.strategies is not None and many.strategies <= few.strategies)
        assert (many.keep_days or 99) <= (few.keep_days or 99)
        assert few.keep_content is not False or many.keep_content is False
        assert few.keep_content is True or many.keep_content is not True


@given(POLICIES, st.frozensets(st.sampled_from("xyz")), st.sampled_from("abc"), st.sampled_from("abc"))
def test_what_no_rule_knows_is_refused(policy: DataPolicy, labels: frozenset[str], model_id: str, node: str) -> None:
    if labels - set(policy.rules):
        assert policy.refusal(labels, model_id, node, "p")
        assert isinstance(policy.granted("p", labels, Wish()), Denial)
    assert policy.refusal((), model_id, node, "other") == (
        "policy other: there is none of this name; give it under policy.files"
    )
