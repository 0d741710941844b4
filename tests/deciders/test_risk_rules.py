"""Rules: given what accounts, devices and addresses did, when an order is screened, then these rules speak."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta
from timeit import repeat
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.risk import inner
from services.risk.counting import happening, milliseconds
from services.risk.decider import AHEAD_MAX_S, DECIDER, PSEUDONYMS, RULES, SWITCH, find, pseudonym
from services.risk.rules import (
    DELIVERED,
    UNFAMILIAR,
    USUAL_MIN,
    WINDOW_MAX_S,
    BadRules,
    Levels,
    Rule,
    RuleSet,
    judge,
    read_rules,
)
from services.risk.state import (
    Age,
    Blocked,
    EarlierOrder,
    Entered,
    Facts,
    Kind,
    Known,
    Phase,
    Screening,
    Seen,
    Spoke,
    Treatment,
)
from services.risk.store import _kept, read_facts, read_spoke, write_json
from shared.contracts import risk
from shared.runtime.decider import Context, Windows
from shared.runtime.said import CancelTimer
from shared.runtime.table import IGNORED, Key, Moved, NoCell, Refused
from tests.deciders.scene import NOON, Scene

KEY = bytes(range(32))
ORDER = risk.ScreenOrder(order_id="o-1", account="a-1", device="d-1", address="12 Mill Lane", total=4_000)
DEVICE, ADDRESS = pseudonym(Kind.DEVICE, "d-1", KEY), pseudonym(Kind.ADDRESS, "12 Mill Lane", KEY)
SUBJECTS: dict[risk.About, str] = {"account": "a-1", "device": str(DEVICE), "address": str(ADDRESS)}
VERDICTS = {
    None: risk.OrderCleared,
    "restrict": risk.OrderRestricted,
    "refer": risk.OrderReferred,
    "refuse": risk.OrderRefused,
}
COUNTED = {name: rule for name, rule in DELIVERED.rules.items() if rule.signal != UNFAMILIAR}
each_counted = pytest.mark.parametrize("name", COUNTED)


def about(signal: str) -> risk.About:
    """Whose signal it is."""
    first = signal.partition("_")[0]
    return first if first in ("device", "address") else "account"  # type: ignore[return-value]


def ago(seconds: float, count: int, now: datetime = NOON) -> tuple[int, ...]:
    """So many happenings, the newest so long ago, each a millisecond before the next."""
    at = milliseconds(now - timedelta(seconds=seconds))
    return tuple(happening(at - n, f"o-{n}") for n in reversed(range(count)))


def scene(counts: dict[str, tuple[int, ...]] | None = None, rules: RuleSet | None = None, **facts: Any) -> Scene:
    """A shop in which this is known of the order's account, device and address, by its signals."""
    states: dict[Key, Any] = {SWITCH: True, PSEUDONYMS: KEY, RULES: rules}
    for kind, subject in SUBJECTS.items():
        of_it = {signal: told for signal, told in (counts or {}).items() if about(signal) == kind}
        if of_it or (kind == "account" and "earlier" in facts):
            earlier = facts.get("earlier", ()) if kind == "account" else ()
            states["conduct", kind, subject] = Known(kind, subject, milliseconds(NOON), of_it, earlier)
    return Scene(DECIDER, states)


LEVELS = {"restrict": 30.0, "refer": 100.0, "refuse": 200.0}


def rule_set(*rules: Rule, **levels: float | None) -> RuleSet:
    """Other rules than those delivered, named by their numbers."""
    return RuleSet(7, {f"rule-{n}": rule for n, rule in enumerate(rules)}, Levels(**{**LEVELS, **levels}))


def seen(stage: Scene) -> Seen:
    """What is kept with the screening."""
    state = stage.states["screening", "o-1"]
    assert isinstance(state, Screening)
    assert state.seen is not None
    return state.seen


def spoke(stage: Scene) -> dict[str, float]:
    """The rules that spoke about the order, and the points of each."""
    return {one.name: one.points for one in seen(stage).spoke}


# -- every delivered rule ----------------------------------------------------------------------------------------------


def test_the_rules_that_larder_comes_with() -> None:
    """From how many on they speak, in how many hours, with how many points: whoever changes one says so here."""
    told = {
        name: (rule.signal, rule.threshold, rule.window_s / 3_600, rule.weight)
        for name, rule in DELIVERED.rules.items()
    }
    assert told == {
        "unpaid_orders": ("expiries", 5, 7 * 24, 60),
        "cancelled_orders": ("cancels", 8, 7 * 24, 50),
        "cancelled_after_payment": ("cancels_after_payment", 4, 14 * 24, 50),
        "not_reachable": ("unreachables", 3, 30 * 24, 50),
        "order_velocity": ("orders", 30, 1, 60),
        "accounts_on_device": ("device_accounts", 5, 24, 70),
        "accounts_at_address": ("address_accounts", 12, 24, 50),
        "address_velocity": ("address_orders", 40, 1, 50),
        "declined_cards": ("declines", 5, 24, 60),
        "unfamiliar_order": ("unfamiliar_order", 4, 90 * 24, 60),
        "delivered_orders": ("deliveries", 3, 30 * 24, -30),
    }
    assert (DELIVERED.version, DELIVERED.levels) == (0, Levels(30, 100, 200))
    assert all(rule.enabled and rule.treatment is None for rule in DELIVERED.rules.values())


@each_counted
def test_below_its_threshold_it_is_silent(name: str) -> None:
    """One less, all of them just now: clear."""
    rule = COUNTED[name]
    stage = scene({rule.signal: ago(0, int(rule.threshold) - 1)})
    assert stage.says(ORDER)[0] == risk.OrderCleared(order_id="o-1")
    assert (seen(stage).verdict, spoke(stage)) == ("clear", {})


@each_counted
def test_at_its_threshold_it_speaks(name: str) -> None:
    """With all of its points, and alone it is mild: whoever pays notices nothing."""
    rule = COUNTED[name]
    stage = scene({rule.signal: ago(0, int(rule.threshold))})
    said = stage.says(ORDER)[0]
    if rule.weight < 0:
        assert said == risk.OrderCleared(order_id="o-1")
    else:
        assert said == risk.OrderRestricted(order_id="o-1", reason="rules_restricted", rules=(name,))
    assert seen(stage).spoke == (Spoke(name, rule.threshold, rule.threshold, rule.weight),)
    assert (seen(stage).score, seen(stage).rules_version) == (rule.weight, 0)


@each_counted
def test_outside_its_window_it_is_silent(name: str) -> None:
    """A millisecond after the window; also when only the oldest one is, and the rest are new."""
    rule = COUNTED[name]
    enough = int(rule.threshold)
    for counts in (ago(rule.window_s + 0.001, enough), ago(rule.window_s + 0.001, 1) + ago(0, enough - 1)):
        stage = scene({rule.signal: counts})
        assert stage.says(ORDER)[0] == risk.OrderCleared(order_id="o-1")
        assert spoke(stage) == {}
    stage = scene({rule.signal: ago(rule.window_s - 1, 1) + ago(0, enough - 1)})
    stage.says(ORDER)
    assert spoke(stage) == {name: rule.weight}


@each_counted
@pytest.mark.parametrize(("part", "points"), [(0.5, 0.5), (0.25, 0.75), (0.9, 0.1)])
def test_it_fades_until_its_window_is_over(name: str, part: float, points: float) -> None:
    """By the age of the newest happening: half a window later half the points are left."""
    rule = COUNTED[name]
    stage = scene({rule.signal: ago(rule.window_s * part, int(rule.threshold))})
    stage.says(ORDER)
    assert spoke(stage) == {name: pytest.approx(rule.weight * points, abs=0.01)}
    restricted = rule.weight * points >= 30
    assert seen(stage).verdict == ("restrict" if restricted else "clear")


@each_counted
def test_what_is_still_to_come_counts_as_now(name: str) -> None:
    """A clock that is ahead of ours makes no point more than there are."""
    rule = COUNTED[name]
    stage = scene({rule.signal: ago(-60, int(rule.threshold))})
    stage.says(ORDER)
    assert spoke(stage) == {name: rule.weight}


@each_counted
def test_the_most_that_is_known_is_counted_once(name: str) -> None:
    """However many there are: the points are the same, and what was seen is told."""
    rule = COUNTED[name]
    stage = scene({rule.signal: ago(0, risk.HAPPENINGS_MAX)})
    stage.says(ORDER)
    assert seen(stage).spoke == (Spoke(name, risk.HAPPENINGS_MAX, rule.threshold, rule.weight),)


# -- together ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "verdict"),
    [
        (("cancelled_orders", "not_reachable"), "refer"),
        (("accounts_on_device", "accounts_at_address"), "refer"),
        (("accounts_on_device", "accounts_at_address", "declined_cards"), "refer"),
        (("unpaid_orders", "accounts_on_device", "accounts_at_address", "declined_cards"), "refuse"),
        (("cancelled_orders", "delivered_orders"), None),
        (("unpaid_orders", "delivered_orders"), "restrict"),
        (("cancelled_orders", "not_reachable", "delivered_orders"), "restrict"),
        (tuple(COUNTED), "refuse"),
    ],
)
def test_rules_add_up(names: tuple[str, ...], verdict: str | None) -> None:
    """A person looks only at what several speak against; good conduct heals."""
    stage = scene({COUNTED[name].signal: ago(0, int(COUNTED[name].threshold)) for name in names})
    said = stage.says(ORDER)[0]
    assert type(said) is VERDICTS[verdict]
    assert seen(stage).score == sum(COUNTED[name].weight for name in names)
    assert sorted(spoke(stage)) == sorted(names)
    if verdict is not None:
        assert isinstance(said, risk.OrderRestricted | risk.OrderReferred | risk.OrderRefused)
        assert said.rules == tuple(spoke(stage))


def test_good_conduct_heals_less_the_longer_it_is_ago() -> None:
    """Three deliveries half a month ago outweigh half of what they outweigh today."""
    for days, verdict in ((0, "clear"), (15, "restrict")):
        stage = scene({"cancels": ago(0, 8), "deliveries": ago(days * 86_400, 3)})
        stage.says(ORDER)
        assert seen(stage).verdict == verdict
        assert seen(stage).score == 50 - 30 + days


def test_good_conduct_alone_is_no_credit_beyond_clear() -> None:
    """The sum may be below 0."""
    stage = scene({"deliveries": ago(0, 64)})
    assert stage.says(ORDER)[0] == risk.OrderCleared(order_id="o-1")
    assert seen(stage).score == -30


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(29.99, None), (30, "restrict"), (99.99, "restrict"), (100, "refer"), (199.99, "refer"), (200, "refuse")],
)
def test_levels_turn_the_sum_into_a_treatment(score: float, verdict: str | None) -> None:
    """From the level on, not before."""
    judged = judge(rule_set(Rule("cancels", 1, 60, score)), Facts(0, counts={"cancels": ago(0, 1)}), NOON)
    assert (judged.treatment, judged.score) == (verdict, score)


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ({"restrict": None}, "refuse"),
        ({"refuse": None}, "refer"),
        ({"refuse": None, "refer": None}, "restrict"),
        ({"restrict": None, "refer": None, "refuse": None}, None),
    ],
)
def test_a_level_that_is_left_out_is_never_reached(levels: dict[str, None], verdict: str | None) -> None:
    """The others stay what they are."""
    rules = rule_set(Rule("cancels", 1, 60, 1_000), **levels)
    assert judge(rules, Facts(0, counts={"cancels": ago(0, 1)}), NOON).treatment == verdict


@pytest.mark.parametrize("treatment", Treatment)
@pytest.mark.parametrize("score", [0, 40, 120, 220])
def test_a_treatment_is_the_least_that_follows(treatment: Treatment, score: float) -> None:
    """Whatever the sum: the stronger of both; and good conduct does not take it back."""
    rules = rule_set(Rule("cancels", 1, 60, score, treatment), Rule("orders", 1, 60, -1_000, enabled=False))
    by_sum = {0: -1, 40: 0, 120: 1, 220: 2}[int(score)]
    expected = list(Treatment)[max(by_sum, list(Treatment).index(treatment))]
    counts = {"cancels": ago(0, 1), "orders": ago(0, 1)}
    assert judge(rules, Facts(0, counts=counts), NOON).treatment is expected
    healed = rule_set(Rule("cancels", 1, 60, score, treatment), Rule("orders", 1, 60, -1_000))
    assert judge(healed, Facts(0, counts=counts), NOON).treatment is treatment


@pytest.mark.parametrize(
    "treatments", [("refuse", "restrict", "refer"), ("restrict", "refuse", None), (None, "refuse")]
)
def test_of_several_treatments_the_strongest_follows(treatments: tuple[str | None, ...]) -> None:
    """In whatever order the rules stand."""
    rules = rule_set(*(Rule("cancels", 1, 60, 1, one and Treatment(one)) for one in treatments))  # type: ignore[arg-type]
    assert judge(rules, Facts(0, counts={"cancels": ago(0, 1)}), NOON).treatment is Treatment.REFUSE


def test_a_disabled_rule_is_silent() -> None:
    """Whatever it would say; the others speak."""
    rules = rule_set(Rule("cancels", 1, 60, 500, Treatment.REFUSE, enabled=False), Rule("expiries", 1, 60, 40))
    stage = scene({"cancels": ago(0, 64), "expiries": ago(0, 1)}, rules)
    assert stage.says(ORDER)[0] == risk.OrderRestricted(order_id="o-1", reason="rules_restricted", rules=("rule-1",))
    assert seen(stage).rules_version == 7


def test_without_rules_nothing_is_held_against_anybody() -> None:
    """An empty set is a set: not the delivered one."""
    stage = scene({rule.signal: ago(0, 64) for rule in COUNTED.values()}, RuleSet(8, {}, Levels()))
    assert stage.says(ORDER)[0] == risk.OrderCleared(order_id="o-1")
    assert seen(stage).rules_version == 8


@pytest.mark.parametrize("kind", get_args(risk.About))
def test_somebody_elses_conduct_counts_for_nobody_else(kind: risk.About) -> None:
    """Another account's, device's or address's; and without a device none is looked up."""
    signal = {"account": "expiries", "device": "device_accounts", "address": "address_accounts"}[kind]
    stage = scene()
    stage.states["conduct", kind, "somebody else"] = Known(kind, "somebody else", 0, {signal: ago(0, 64)})
    assert stage.says(ORDER)[0] == risk.OrderCleared(order_id="o-1")
    stage = scene({signal: ago(0, 64)})
    other = ORDER.model_copy(update={kind: "b-2"})
    assert stage.says(other)[0] == risk.OrderCleared(order_id="o-1")


# -- the switch and the blocklist --------------------------------------------------------------------------------------


def test_switched_off_beats_all() -> None:
    """Rules and blocklist say refuse: restricted, no rule is named, and the facts are kept."""
    stage = scene({rule.signal: ago(0, 64) for rule in COUNTED.values()})
    stage.states[SWITCH] = False
    stage.states["blocked", Kind.ACCOUNT, "a-1"] = Blocked(Treatment.REFUSE, "")
    assert stage.says(ORDER)[0] == risk.OrderRestricted(order_id="o-1", reason="risk_switched_off")
    after = seen(stage)
    assert (after.verdict, after.score, after.spoke) == ("restrict", 0, ())
    assert after.facts.counts["cancels"] == ago(0, 64)


@pytest.mark.parametrize("by_list", [None, *Treatment])
@pytest.mark.parametrize("by_rules", [None, *Treatment])
def test_of_blocklist_and_rules_the_stronger_wins(by_list: Treatment | None, by_rules: Treatment | None) -> None:
    """And gives the reason; where they agree, the list does, since people wrote it about this very one."""
    rules = rule_set(Rule("cancels", 1, 60, 1, by_rules))
    stage = scene({"cancels": ago(0, 1)}, rules)
    if by_list:
        stage.states["blocked", Kind.DEVICE, "d-1"] = Blocked(by_list, "")
    order = [None, *Treatment]
    stronger = max(by_list, by_rules, key=order.index)
    words = {Treatment.RESTRICT: "restricted", Treatment.REFER: "referred", Treatment.REFUSE: "blocked"}
    source = "device" if order.index(by_list) >= order.index(by_rules) else "rules"
    said = stage.says(ORDER)[0]
    if stronger is None:
        assert said == risk.OrderCleared(order_id="o-1")
    else:
        assert said == VERDICTS[stronger](order_id="o-1", reason=f"{source}_{words[stronger]}", rules=("rule-0",))
    assert seen(stage).verdict == (stronger or "clear")


# -- a stolen account --------------------------------------------------------------------------------------------------


def earlier(n: int, days: float = 1, total: int = 1_000, **fields: Any) -> EarlierOrder:
    """An order that the account received, on its own device and to its own address."""
    order = EarlierOrder(f"e-{n}", milliseconds(NOON - timedelta(days=days)), total, "d" * 24, "a" * 24, True)
    return order._replace(**fields)


USUAL = tuple(earlier(n) for n in range(USUAL_MIN))
DEAR = Facts(4_000, "d-new", "a-new", earlier=USUAL)


def unfamiliar(facts: Facts) -> tuple[float, ...]:
    """What the delivered rule sees, if it speaks."""
    return tuple(one.value for one in judge(DELIVERED, facts, NOON).spoke if one.name == "unfamiliar_order")


def test_an_unfamiliar_order_is_restricted() -> None:
    """New device, new address, four times the usual amount."""
    stage = scene(earlier=USUAL)
    assert stage.says(ORDER)[0] == risk.OrderRestricted(
        order_id="o-1", reason="rules_restricted", rules=("unfamiliar_order",)
    )
    assert seen(stage).spoke == (Spoke("unfamiliar_order", 4, 4, 60),)


SILENT = {
    "a little less": {"total": 3_999},
    "no device": {"device": None},
    "no address": {"address": None},
    "known device": {"device": "d" * 24},
    "known address": {"address": "a" * 24},
    "both known": {"device": "d" * 24, "address": "a" * 24},
    "nothing known": {"earlier": ()},
    "too few": {"earlier": USUAL[1:]},
    "too few delivered": {"earlier": (*USUAL[1:], earlier(9, delivered=False))},
    "too few in the window": {"earlier": (*USUAL[1:], earlier(9, days=90.001))},
    "too few with a device": {"earlier": (*USUAL[1:], earlier(9, device=None))},
    "too few with an address": {"earlier": (*USUAL[1:], earlier(9, address=None))},
    "usually dear": {"earlier": (*USUAL, *(earlier(n, total=1_001) for n in range(3, 7)))},
    "known device of an order to nowhere": {"earlier": (*USUAL, earlier(9, device="d-new", address=None))},
    "known address of an order from nowhere": {"earlier": (*USUAL, earlier(9, device=None, address="a-new"))},
}


@pytest.mark.parametrize("change", SILENT.values(), ids=SILENT)
def test_every_condition_of_an_unfamiliar_order(change: dict[str, Any]) -> None:
    """Without one of them nothing is said."""
    facts = {name: getattr(DEAR, name) for name in ("total", "device", "address", "counts", "earlier")}
    assert unfamiliar(DEAR) == (4,)
    assert unfamiliar(Facts(**{**facts, **change})) == ()


@pytest.mark.parametrize(
    ("orders", "value"),
    [
        ((*USUAL, earlier(8, total=10**12), earlier(9, total=1)), 4),
        ((*USUAL, earlier(8, device="d-new", address="a-new", delivered=False)), 4),
        ((*USUAL, earlier(8, days=91, device="d-new")), 4),
        (tuple(earlier(n, total=0) for n in range(3)), 4_000),
        ((earlier(0, total=100), earlier(1, total=300), earlier(2, total=200), earlier(3, total=400)), 16),
    ],
    ids=["one dear, one cheap", "never delivered there", "there long ago", "usually for nothing", "the middle of four"],
)
def test_the_usual_amount_is_the_median_of_what_was_delivered(orders: tuple[EarlierOrder, ...], value: float) -> None:
    """In the window; what was only ordered there makes nothing familiar, or a thief would order twice."""
    assert unfamiliar(Facts(4_000, "d-new", "a-new", earlier=orders)) == (value,)


# -- kept, and judged again --------------------------------------------------------------------------------------------

stamps = st.lists(st.integers(-100, 10**9), max_size=risk.HAPPENINGS_MAX).map(
    lambda ages: tuple(sorted({happening(milliseconds(NOON) - age, str(age)) for age in ages}))
)
histories = st.lists(
    st.builds(
        earlier,
        st.integers(0, 99),
        st.floats(0, 100),
        st.integers(0, 10**6),
        device=st.sampled_from([None, DEVICE, "d" * 24]),
        address=st.sampled_from([None, ADDRESS, "a" * 24]),
        delivered=st.booleans(),
    ),
    max_size=risk.EARLIER_MAX,
).map(tuple)
weights = st.floats(-1_000, 1_000).map(lambda w: round(w, 3) or 1.0)
rule_sets = st.lists(
    st.builds(
        Rule,
        st.sampled_from([*get_args(risk.Signal), UNFAMILIAR]),
        st.floats(0.1, 64),
        st.floats(1, WINDOW_MAX_S),
        weights,
        st.sampled_from([None, *Treatment]),
        st.booleans(),
    ),
    max_size=12,
).map(lambda rules: rule_set(*rules))


@given(
    st.dictionaries(st.sampled_from(get_args(risk.Signal)), stamps.filter(bool)),
    histories,
    st.integers(0, 10**7),
    st.none() | rule_sets,
)
def test_what_is_kept_is_judged_again_to_the_same(
    counts: dict[str, tuple[int, ...]], history: tuple[EarlierOrder, ...], total: int, rules: RuleSet | None
) -> None:
    """The facts of a screening, written and read, are all that judging took: replay decides as the screening did."""
    stage = scene(counts, rules, earlier=history)
    said = stage.says(ORDER.model_copy(update={"total": total}))[0]
    kept = seen(stage)
    row = {"total": total, "device": DEVICE, "address": ADDRESS, "facts": _kept(kept.facts.counts, kept.facts.earlier)}
    facts = read_facts(row)
    assert (dict(facts.counts), facts.earlier) == (counts, history)
    again = judge(rules or DELIVERED, facts, kept.at)
    assert again == judge(rules or DELIVERED, kept.facts, kept.at)
    assert (again.treatment or "clear", again.score, again.spoke) == (kept.verdict, kept.score, kept.spoke)
    assert type(said) is VERDICTS[again.treatment]
    assert read_spoke(write_json(kept.spoke).decode()) == kept.spoke


def test_screened_again_nothing_new_is_kept() -> None:
    """One order, one verdict, and what it saw: later conduct changes neither."""
    stage = scene()
    stage.says(ORDER)
    before = stage.states["screening", "o-1"]
    stage.states["conduct", "account", "a-1"] = Known("account", "a-1", 0, {"cancels": ago(0, 64)})
    assert stage.when(ORDER) == IGNORED
    assert stage.states["screening", "o-1"] is before


# -- sightings and pseudonyms ------------------------------------------------------------------------------------------


def sightings(said: Iterable[object]) -> list[risk.Sighting]:
    """What the stream application is told of a screening."""
    return [one for one in said if isinstance(one, risk.Sighting)]


@pytest.mark.parametrize("treatment", [None, *Treatment])
def test_each_screening_is_told_once_for_each_that_sees_it(treatment: Treatment | None) -> None:
    """Whatever the verdict, also while risk is switched off; devices and addresses by their pseudonyms alone."""
    stage = scene()
    if treatment:
        stage.states["blocked", Kind.ACCOUNT, "a-1"] = Blocked(treatment, "")
    for on, order_id in ((True, "o-1"), (False, "o-2")):
        stage.states[SWITCH] = on
        order = ORDER.model_copy(update={"order_id": order_id})
        told = sightings(stage.says(order))
        assert [(one.about, one.subject, one.key) for one in told] == [(a, s, s) for a, s in SUBJECTS.items()]
        for one in told:
            assert (one.account, one.order_id, one.at, one.total) == ("a-1", order_id, NOON, 4_000)
            assert (one.device, one.address) == (DEVICE, ADDRESS)
        assert "Mill" not in "".join(one.model_dump_json() for one in told)
        assert stage.when(order) == IGNORED


def test_no_sighting_of_what_was_not_named() -> None:
    """No device, no address, or one that shows nothing: the account sees its order."""
    for fields in ({"device": None, "address": None}, {"device": None, "address": " \u200b"}):
        (told,) = sightings(scene().says(ORDER.model_copy(update=fields)))
        assert (told.about, told.device, told.address) == ("account", None, None)


def test_what_becomes_of_a_review_is_no_sighting() -> None:
    """Decided, overdue or withdrawn: the order was seen when it came."""
    for message in (
        decision("clear"),
        inner.ReviewOverdue("o-1"),
        risk.WithdrawScreening(order_id="o-1", account="a-1"),
    ):
        assert sightings(in_review().says(message, ANALYST)) == []


@pytest.mark.parametrize(
    "written",
    ["12 MILL LANE", "  12 mill  lane\n", "１２\u3000Ｍｉｌｌ Ｌａｎｅ", "12 Mi\u200bll Lane", "12 Mill\u00a0Lane"],
)
def test_all_spellings_have_one_pseudonym(written: str) -> None:
    """As the blocklist has one entry for them."""
    assert pseudonym(Kind.ADDRESS, written, KEY) == ADDRESS
    apart, together = (unicodedata.normalize(form, "Café 1") for form in ("NFD", "NFC"))
    assert pseudonym(Kind.ADDRESS, apart, KEY) == pseudonym(Kind.ADDRESS, together.upper(), KEY)


def test_pseudonyms_differ_by_kind_value_and_key() -> None:
    """A device that is called like an address is another subject, and nobody without the key can guess one."""
    texts = ("d-1", "d-2", "12 Mill Lane", "x" * 500)
    made = {pseudonym(kind, text, key) for kind in Kind for text in texts for key in (KEY, b"another", None)}
    assert len(made) == len(Kind) * len(texts) * 3
    assert all(one is not None and len(one) == 24 and int(one, 16) >= 0 for one in made)
    for nothing in (None, "", " \u200b "):
        assert pseudonym(Kind.ADDRESS, nothing, KEY) is None


# -- signals -----------------------------------------------------------------------------------------------------------


def conduct(
    count: int, at: datetime = NOON, signal: risk.Signal = "expiries", subject: str = "a-1", **more: Any
) -> risk.Conduct:
    """A subject's conduct until then: so many happenings."""
    told = (risk.Count(signal=signal, happenings=ago(0, count, at)),) if count else ()
    return risk.Conduct(about=about(signal), subject=subject, at=at, counts=told, **more)


def signals(*entries: risk.Conduct, as_of: datetime = NOON) -> risk.SignalsTold:
    """What the stream application tells."""
    return risk.SignalsTold(shard=0, as_of=as_of, entries=entries)


def expiries(stage: Scene) -> int:
    """How many are known of the account."""
    known = stage.states.get(("conduct", "account", "a-1"))
    return len(known.counts.get("expiries", ())) if known else 0


def after(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


def test_what_is_told_is_what_the_next_order_is_held_against() -> None:
    """Account, device and address in one pack; the earlier orders as well."""
    stage = scene()
    assert stage.says(ORDER.model_copy(update={"order_id": "o-0"}))[0] == risk.OrderCleared(order_id="o-0")
    order = risk.Earlier(order_id="e-1", at=NOON, total=7, device="d" * 24, address="a" * 24, delivered=True)
    assert (
        stage.says(
            signals(
                conduct(5, earlier=(order,)),
                conduct(5, signal="device_accounts", subject=str(DEVICE)),
                conduct(12, signal="address_accounts", subject=str(ADDRESS)),
            )
        )
        == []
    )
    said = stage.says(ORDER)[0]
    assert said == risk.OrderReferred(
        order_id="o-1", reason="rules_referred", rules=("accounts_at_address", "accounts_on_device", "unpaid_orders")
    )
    assert seen(stage).facts.earlier == (EarlierOrder("e-1", milliseconds(NOON), 7, "d" * 24, "a" * 24, True),)
    assert seen(stage).score == 180


def test_a_later_conduct_replaces_an_earlier_one() -> None:
    """It is told whole: what it does not say any more is forgotten."""
    stage = scene()
    stage.says(signals(conduct(5, earlier=(risk.Earlier(order_id="e-1", at=NOON, total=7),))))
    stage.says(signals(conduct(2, after(1)), as_of=after(1)))
    assert expiries(stage) == 2
    assert stage.states["conduct", "account", "a-1"].earlier == ()
    stage.says(signals(conduct(0, after(2)), as_of=after(2)))
    assert expiries(stage) == 0


def test_late_and_doubled_conducts_change_nothing() -> None:
    """Of each subject for itself, in packs of their own and in one."""
    stage = scene()
    newest = conduct(5, after(10))
    stage.says(signals(newest, as_of=after(10)))
    for late in (signals(conduct(2, after(9)), as_of=after(9)), signals(newest, as_of=after(10))):
        stage.says(late)
        assert expiries(stage) == 5
        assert stage.states["age", "0"] == Age("0", after(10))
    other = conduct(3, after(1), subject="a-2")
    stage.says(signals(conduct(1, after(2)), other, as_of=after(11)))
    assert (expiries(stage), len(stage.states["conduct", "account", "a-2"].counts["expiries"])) == (5, 3)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 2)])
def test_of_conducts_out_of_order_the_newest_is_known(order: tuple[int, ...]) -> None:
    """In one pack or in several."""
    told = [conduct(n + 1, after(n)) for n in range(3)]
    together, apart = scene(), scene()
    together.says(signals(*(told[n] for n in order), as_of=after(2)))
    for n in order:
        apart.says(signals(told[n], as_of=after(n)))
    assert expiries(together) == expiries(apart) == 3
    assert together.states["age", "0"] == apart.states["age", "0"] == Age("0", after(2))


def test_a_sign_of_life_makes_signals_younger() -> None:
    """Without entries; an old one does not make them older."""
    stage = scene()
    stage.says(signals(as_of=after(1)))
    stage.says(signals(as_of=NOON))
    assert stage.states["age", "0"] == Age("0", after(1))
    assert stage.says(signals(as_of=after(2))) == []


@pytest.mark.parametrize(
    "nonsense",
    [
        signals(conduct(5, after(AHEAD_MAX_S + 1))),
        signals(as_of=after(AHEAD_MAX_S + 1)),
        signals(conduct(1), conduct(5, datetime.fromisoformat("2199-12-31T00:00:00Z"), subject="a-2")),
        risk.AccountsActed(
            shard=0,
            entries=(risk.Activity(account="a-1", order_id="o-9", deed="expired", at=after(AHEAD_MAX_S + 1)),),
        ),
    ],
    ids=["a conduct", "as of", "one of two", "an activity"],
)
def test_what_comes_from_the_future_parks_and_freezes_nothing(nonsense: risk.SignalsTold | risk.AccountsActed) -> None:
    """Taken, it would be newer than anything that comes for years. It parks alone, and what comes next is known."""
    stage = scene()
    before = dict(stage.states)
    with pytest.raises(NoCell, match="future"):
        stage.when(nonsense)
    assert stage.states == before
    stage.says(signals(conduct(5, after(AHEAD_MAX_S)), as_of=after(AHEAD_MAX_S)))
    assert expiries(stage) == 5


def test_telling_of_orders_and_signals_asks_for_what_it_writes() -> None:
    """And for nothing else: the shard loads no screening for them."""
    pack = signals(conduct(1), conduct(2, signal="device_orders", subject=str(DEVICE)))
    needed = set(DECIDER.needs(pack, lambda key: None))
    assert needed == {("age", "0"), ("conduct", "account", "a-1"), ("conduct", "device", DEVICE)}
    outcome = scene().when(pack)
    assert isinstance(outcome, Moved)
    assert {key for key, _ in outcome.states} == needed


# -- reviews -----------------------------------------------------------------------------------------------------------

ANALYST, OTHER = "risk_analyst:r-1", "risk_analyst:r-2"
OF_ORDER: dict[str, Any] = {"order_id": "o-1", "account": "a-1"}
CLAIM, RELEASE = risk.ClaimReview(**OF_ORDER), risk.ReleaseReview(**OF_ORDER)


def in_review(order: risk.ScreenOrder = ORDER, claim_s: float = 600) -> Scene:
    """A shop in which the order waits for a person."""
    stage = scene()
    stage.windows = Windows(claim_s=claim_s)
    stage.states["blocked", Kind.ACCOUNT, "a-1"] = Blocked(Treatment.REFER, "")
    stage.says(order)
    return stage


def decision(verdict: Any, **fields: Any) -> risk.DecideReview:
    """A person's verdict."""
    return risk.DecideReview(**OF_ORDER, verdict=verdict, **fields)


def claimed(stage: Scene) -> tuple[str, datetime | None]:
    """Whose the review is, and until when."""
    review = stage.states["screening", "o-1"].review
    return review.claimed_by, review.claimed_until


def refused(outcome: object) -> str:
    """The code of a refusal."""
    assert isinstance(outcome, Refused)
    return outcome.code


def test_a_claimed_review_is_one_analyst_s() -> None:
    """The other one is told who has it and until when, and nothing changes."""
    stage = in_review()
    assert stage.says(CLAIM, ANALYST) == []
    assert claimed(stage) == (ANALYST, after(600))
    before = stage.states["screening", "o-1"]
    for message in (CLAIM, RELEASE, decision("clear"), decision("refuse", block=("account",))):
        outcome = stage.when(message, OTHER)
        assert refused(outcome) == "review_claimed"
        assert isinstance(outcome, Refused)
        assert ANALYST in outcome.detail
        assert "2026-11-22T12:10:00Z" in outcome.detail
    assert stage.states["screening", "o-1"] is before


def test_claiming_again_prolongs_it() -> None:
    """From now on."""
    stage = in_review()
    stage.says(CLAIM, ANALYST)
    stage.later(599)
    stage.says(CLAIM, ANALYST)
    assert claimed(stage) == (ANALYST, after(1_199))


def test_a_claim_ends() -> None:
    """At its moment anybody may take it, decide, and there is nothing to let go of."""
    for message, code in ((CLAIM, None), (decision("clear"), None), (RELEASE, "review_not_claimed")):
        stage = in_review()
        stage.says(CLAIM, ANALYST)
        stage.later(599.999)
        assert refused(stage.when(message, OTHER)) == "review_claimed"
        stage.later(0.001)
        outcome = stage.when(message, OTHER)
        assert (refused(outcome) if code else type(outcome)) == (code or Moved)


def test_released_anybody_may_take_it() -> None:
    """By whoever has it; twice there is nothing to let go of."""
    stage = in_review()
    assert refused(stage.when(RELEASE, ANALYST)) == "review_not_claimed"
    stage.says(CLAIM, ANALYST)
    assert stage.says(RELEASE, ANALYST) == []
    assert claimed(stage) == ("", None)
    assert refused(stage.when(RELEASE, ANALYST)) == "review_not_claimed"
    stage.says(CLAIM, OTHER)
    assert claimed(stage) == (OTHER, after(600))


@pytest.mark.parametrize("claim", [False, True])
def test_decided_with_or_without_a_claim(claim: bool) -> None:
    """Nobody has to claim; decided, it is nobody's any more."""
    stage = in_review()
    if claim:
        stage.says(CLAIM, ANALYST)
    assert stage.says(decision("restrict"), ANALYST) == [
        risk.OrderRestricted(order_id="o-1", reason="review_restricted"),
        CancelTimer("o-1", "review"),
    ]
    assert claimed(stage) == ("", None)
    assert stage.states["screening", "o-1"].phase is Phase.RESTRICTED


@pytest.mark.parametrize(
    "end", [inner.ReviewOverdue("o-1"), risk.WithdrawScreening(order_id="o-1", account="a-1")], ids=repr
)
def test_deadline_and_end_come_under_a_claim_as_well(end: Any) -> None:
    """An analyst who went home holds nothing up."""
    stage = in_review()
    stage.says(CLAIM, ANALYST)
    stage.says(end)
    assert claimed(stage) == ("", None)


@pytest.mark.parametrize("message", [CLAIM, RELEASE, decision("clear")], ids=lambda m: m.TYPE)
def test_a_review_that_is_over_or_never_was_is_refused(message: Any) -> None:
    """With a code for each; also under another account's name."""
    stage = in_review()
    stage.says(decision("clear"), ANALYST)
    assert refused(stage.when(message, OTHER)) == "review_not_open"
    assert refused(scene().when(message, ANALYST)) == "review_unknown"
    other = in_review()
    assert refused(other.when(message.model_copy(update={"account": "a-2"}), ANALYST)) == "review_unknown"
    assert other.states["screening", "o-1"].phase is Phase.IN_REVIEW


@pytest.mark.parametrize("verdict", ["clear", "restrict", "refuse"])
def test_a_decision_puts_on_the_blocklist_what_it_names(verdict: str) -> None:
    """By its normal form, with whoever decided as its author, the note as its reason, and an end if one is given."""
    order = ORDER.model_copy(update={"device": "D-１", "address": " 12  MILL Lane"})
    stage = in_review(order)
    until = after(86_400)
    fields = {"note": "seen before", "block": ("account", "device", "address"), "treatment": "refer", "until": until}
    entered = [one for one in stage.says(decision(verdict, **fields), ANALYST) if isinstance(one, Entered)]
    assert entered == [
        Entered(Kind.ACCOUNT, "a-1", Treatment.REFER, "seen before", until, ANALYST),
        Entered(Kind.DEVICE, "d-1", Treatment.REFER, "seen before", until, ANALYST),
        Entered(Kind.ADDRESS, "12 mill lane", Treatment.REFER, "seen before", until, ANALYST),
    ]


def test_by_itself_a_decision_enters_nothing() -> None:
    """What is named and was not there, neither; without a note the order is the reason, and it is for good."""
    assert not [one for one in in_review().says(decision("refuse"), ANALYST) if isinstance(one, Entered)]
    bare = risk.ScreenOrder(order_id="o-1", account="a-1", address=" \u200b", total=1)
    said = in_review(bare).says(decision("refuse", block=("device", "address", "account")), ANALYST)
    (entered,) = (one for one in said if isinstance(one, Entered))
    assert entered == Entered(Kind.ACCOUNT, "a-1", Treatment.REFUSE, "review of order o-1", None, ANALYST)


# -- reading -----------------------------------------------------------------------------------------------------------

ONE = '[levels]\n[rules.{name}]\nsignal = "{signal}"\nthreshold = {threshold}\nwindow_s = {window_s}\n{rest}\n'
GOOD = {"name": "x", "signal": "cancels", "threshold": 1, "window_s": 60, "rest": "weight = 1"}
BAD: dict[str, list[dict[str, Any]]] = {
    "signal_unknown": [{"signal": "smiles"}, {"signal": ""}, {"signal": "x" * 10_000}],
    "threshold_out_of_range": [{"threshold": t} for t in (0, -1, "nan", "inf", 64.5)],
    "window_out_of_range": [{"window_s": w} for w in (0, -1, "nan", "inf", WINDOW_MAX_S + 1)],
    "weight_out_of_range": [{"rest": f"weight = {w}"} for w in ("nan", "inf", 1_001, -1_001)],
    "treatment_missing": [{"rest": ""}, {"rest": "weight = 0"}, {"rest": "weight = -0.0"}],
    "name_malformed": [{"name": f'"{n}"'} for n in ("", "a b", "x" * 65, "-x", "é", "a\\u0000", "a\\n", "🙂")],
    "rules_malformed": [
        {"threshold": '"1"'},
        {"threshold": "true"},
        {"threshold": "1" + "0" * 400},
        {"rest": 'weight = 1\ntreatment = "clear"'},
        {"rest": "weight = 1\nenabled = 1"},
        {"rest": "weight = 1\nwindow = 1"},
        {"rest": "weight ="},
        {"rest": "weight = 1\n[other]"},
    ],
}


@pytest.mark.parametrize(("code", "change"), [(code, change) for code, changes in BAD.items() for change in changes])
def test_a_rule_that_makes_no_sense_is_told(code: str, change: dict[str, Any]) -> None:
    """By a stable code, before any order is held against it."""
    assert read_rules(ONE.format(**GOOD).encode()).rules["x"] == Rule("cancels", 1, 60, 1)
    with pytest.raises(BadRules) as told:
        read_rules(ONE.format(**{**GOOD, **change}).encode())
    assert told.value.code == code
    assert len(str(told.value)) < 1_000


@pytest.mark.parametrize(
    "levels",
    [
        "restrict = 0",
        "restrict = -1",
        "refer = nan",
        "refuse = inf",
        "restrict = 2\nrefer = 1",
        "restrict = 1\nrefer = 1",
        "restrict = 2\nrefuse = 1",
    ],
)
def test_levels_must_rise(levels: str) -> None:
    """From more than 0, also where one is left out."""
    with pytest.raises(BadRules) as told:
        read_rules(f"[levels]\n{levels}\n[rules]".encode())
    assert told.value.code == "levels_out_of_order"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "rules_malformed"),
        ("[rules]", "rules_malformed"),
        ("a = " + "[" * 5_000 + "]" * 5_000, "rules_malformed"),
        ("\x00", "rules_malformed"),
        (
            "[levels]\n"
            + "".join(
                f"[rules.r{n}]\nsignal='cancels'\nthreshold=1\nwindow_s=1\nweight=1\n"
                for n in range(risk.RULES_MAX + 1)
            ),
            "too_many_rules",
        ),
        ("[levels]\n[rules]\n" + "#" * 1_000_000, "rules_too_large"),
    ],
    ids=["nothing", "no levels", "deep", "a NUL", "too many", "a megabyte"],
)
def test_a_text_that_holds_no_rules_is_told(text: str, code: str) -> None:
    """Whatever it is."""
    with pytest.raises(BadRules) as told:
        read_rules(text.encode())
    assert told.value.code == code


# -- what it costs -----------------------------------------------------------------------------------------------------

SCREENING_MAX_US = 150
"""A screening takes 30 µs at most on a machine of its own (docs/benchmarks.md); the machines of tests are not."""


def test_a_screening_takes_microseconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Under all delivered rules, with as much known as ever is: the rules alone, and all that a screening looks at."""
    counts: dict[str, tuple[int, ...]] = {signal: ago(0, risk.HAPPENINGS_MAX) for signal in get_args(risk.Signal)}
    history = tuple(earlier(n) for n in range(risk.EARLIER_MAX))
    states = scene(counts, earlier=history).states
    context = Context(NOON, "", Windows())
    facts = find(ORDER, states.get, context).seen.facts
    assert (len(facts.counts), len(facts.earlier)) == (len(get_args(risk.Signal)), risk.EARLIER_MAX)
    assert len(judge(DELIVERED, facts, NOON).spoke) == len(DELIVERED.rules)

    def microseconds(work: Any) -> float:
        return min(repeat(work, number=200, repeat=20)) / 200 * 1e6

    alone = microseconds(lambda: judge(DELIVERED, facts, NOON))
    whole = microseconds(lambda: find(ORDER, states.get, context))
    with capsys.disabled():
        print(f"\n{json.dumps({'judge_us': round(alone, 1), 'find_us': round(whole, 1)})}")
    assert max(alone, whole) < SCREENING_MAX_US
