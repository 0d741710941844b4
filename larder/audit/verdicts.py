"""What risk said of an order follows from what it saw, and the screening stands where that leads to."""

from __future__ import annotations

from larder.audit.life import Life, Screening, listed

STRENGTH = {"clear": 0, "restrict": 1, "refer": 2, "refuse": 3}
"""Verdicts, the weakest first."""
PHASE_OF = {"clear": "cleared", "restrict": "restricted", "refuse": "refused", "withdrawn": "withdrawn"}
"""Where a screening ends with a verdict, a person's or its own."""
VERDICT_OF = {"restricted": "restrict", "referred": "refer", "blocked": "refuse"}
"""What the second half of a reason says, as in `account_blocked`."""
SWITCHED_OFF = "risk_switched_off"
ROUNDED = 0.01
"""What is kept of a sum, and of what rules saw and added to it, is rounded to hundredths."""


def screening_is_verdict(life: Life) -> str | None:
    """A screening is where its verdict leads to: its own, or that of the review that a referral asks for, and nothing
    else."""
    s = life.screening
    if s is None or (s.said is None and s.due_at is None):
        return None  # an earlier version wrote it
    if s.said is not None and (s.said == "refer") != (s.due_at is not None):
        return f"risk said {s.said}, and there is {'a' if s.due_at else 'no'} review"
    verdict = s.said if s.due_at is None else s.verdict
    expected = "in_review" if s.review_open else PHASE_OF.get(verdict or "")
    return "" if s.phase == expected else f"the verdict is {verdict or 'missing'}, and the screening {s.phase}"


def claim_ends_with_review(life: Life) -> str | None:
    """A review is somebody's, until a certain time, or nobody's; one that is decided is nobody's."""
    s = life.screening
    if s is None or s.due_at is None:
        return None
    if bool(s.claimed_by) != (s.claimed_until is not None):
        return f"claimed by {s.claimed_by or 'nobody'} until {s.claimed_until}"
    return f"decided at {s.decided_at}, and claimed by {s.claimed_by}" if s.claimed_by and s.decided_at else ""


def verdict_has_cause(life: Life) -> str | None:
    """What risk said is what its reason says: the switch, an entry of the blocklist, or rules that spoke; never less
    than these rules lead to, and exactly that much where it is by them, or clear."""
    s = life.screening
    if s is None or s.said is None:
        return None
    if s.reason == SWITCHED_OFF:
        return "" if s.said == "restrict" and not s.spoke else f"the switch was off, and risk said {s.said}"
    about, _, word = s.reason.rpartition("_")
    if s.said != VERDICT_OF.get(word, "clear") or (s.said == "clear") != (s.reason == ""):
        return f"risk said {s.said}, because of {s.reason or 'nothing'}"
    if s.swept:
        return ""
    if about == "rules" and not s.spoke:
        return f"risk said {s.said} by rules, and none spoke"
    return _rules_lead_to(s, is_exact=about in ("rules", ""))


def _rules_lead_to(s: Screening, *, is_exact: bool) -> str:
    spoke, score = listed(s.spoke), s.score or 0.0
    doubt = ROUNDED * (1 + len(spoke)) + abs(score) * 1e-5  # the column has six digits
    if any(value + ROUNDED < threshold for _, value, threshold, _ in spoke) or (
        abs(sum(points for *_, points in spoke) - score) > doubt
    ):
        return f"a sum of {score}, and of the rules {s.spoke}"
    if s.rules is None:
        return ""
    rules, levels = listed(s.rules)["rules"], listed(s.rules)["levels"]
    names = [name for name, *_ in spoke]
    if any(name not in rules or not rules[name]["enabled"] for name in names):
        return f"of the rules {names} one is not there, or is switched off"
    named = max((STRENGTH[rules[name]["treatment"] or "clear"] for name in names), default=0)
    least, most = (
        max((named, *(STRENGTH[t] for t, level in levels.items() if level is not None and sum_ >= level)))
        for sum_ in (score - doubt, score + doubt)
    )
    said = STRENGTH[s.said or "clear"]
    if said < least or (is_exact and said > most):
        return f"risk said {s.said} ({s.reason}), with a sum of {score} and the rules {names}"
    return ""
