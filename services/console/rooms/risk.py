"""The risk analysts' room: reviews by the time that is left, what accounts did, the blocklist, the switch, and the
rules with their trial."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from services.console import words
from services.console.live import each_beat
from services.console.place import AGAIN, NOTHING, Deed, Notice, Place, changed, do, following, found, items, notice_of
from services.console.session import Form, Person
from services.console.upstream import Answer
from shared.http.problems import Problem
from shared.http.sse import EventStream

LISTED = 50
HISTORY = 20
"""So many versions of the rules are shown."""
KINDS = ("account", "device", "address")
TREATMENTS = ("restrict", "refer", "refuse")
VERDICTS = {
    "clear": "Clear: an order like any other",
    "restrict": "Restrict: its stock is deducted when it is paid",
    "refuse": "Refuse it",
}
PARTS = (("", "Reviews"), ("/blocklist", "Blocklist"), ("/accounts", "Accounts"), ("/rules", "Rules"))
TRIAL_DAYS = 7
TEXT_MAX = 50_000
"""Most characters of rules as text, so that a form holds them; a hundred rules take half of it."""
OF_ITSELF: Mapping[str, Any] = {"weight": 0, "treatment": None, "enabled": True}
"""What a rule has that does not say so."""
LEVELS = ("restrict", "refer", "refuse")


def routes(place: Place) -> APIRouter:
    """The risk analysts' routes."""
    router = APIRouter()
    for part in (_reviews, _review, _blocklist, _accounts, _rules):
        part(router, place)
    return router


def _page(place: Place, request: Request, person: Person, template: str, **shown: Any) -> Response:
    return place.page(request, person, template, parts=PARTS, **shown)


def _on(switch: dict[str, Any]) -> str:
    return "on" if switch["on"] else "off"


# -- the queue and the switch ------------------------------------------------------------------------------------------


def _reviews(router: APIRouter, place: Place) -> None:
    async def read(person: Person, cursor: str = "") -> dict[str, Any]:
        reviews, switch = await asyncio.gather(
            place.services.get("risk", "/reviews", person.token, cursor=cursor, limit=LISTED),
            place.services.get("risk", "/switch", person.token),
        )
        return {"reviews": reviews, "switch": switch, "more": following(reviews, {}), "me": person.caller.actor}

    async def show(
        request: Request,
        person: Person,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
        cursor: str = "",
    ) -> Response:
        shown = await read(person, cursor)
        return _page(
            place,
            request,
            person,
            "risk.html",
            **(shown | {"cursor": cursor}),
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/risk")
    async def listed(request: Request, cursor: str = "") -> Response:
        return await show(request, place.enter(request, "/risk"), cursor=cursor)

    @router.get("/-/risk")
    async def stream(request: Request) -> Response:
        person = place.enter(request, "/risk")

        def texts() -> AsyncGenerator[str, None]:
            async def render() -> str:
                return place.part("risk_live.html", **await read(person))

            return each_beat(render)

        return EventStream(place.live.look(("risk", person.caller.actor), texts), caller=person.caller)

    @router.post("/risk/switch")
    async def turn(request: Request) -> Response:
        person, form = await place.form(request, "/risk")

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, notice, typed, status)

        def make(form: Form) -> dict[str, Any]:
            if not form["sure"]:
                raise ValueError("Say that you are sure: the switch is for all orders.")
            return {"on": form["on"] == "yes"}

        done = "orders are screened" if form["on"] == "yes" else "orders are screened no more"
        deed = Deed(*("risk", "/switch", make, done, "/risk", ("risk", "/switch")), seen=_on, method="PUT", keyed=False)
        return await do(place, person, form, deed, again)


# -- one review --------------------------------------------------------------------------------------------------------


def _review(router: APIRouter, place: Place) -> None:
    async def show(
        request: Request,
        person: Person,
        order_id: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        ask, token, id_ = place.services.get, person.token, words.segment(order_id)
        review = found(await ask("risk", f"/reviews/{id_}", token))
        screening, account, order, queue = await asyncio.gather(
            ask("risk", f"/screenings/{id_}", token),
            ask("risk", f"/accounts/{words.segment(review['account'])}", token),
            ask("order", f"/orders/{id_}", token),
            ask("risk", "/reviews", token, limit=2),
        )
        return _page(
            place,
            request,
            person,
            "risk_review.html",
            review=review,
            screening=screening,
            account=account,
            order=order,
            coming=next((one for one in items(queue) if one["order_id"] != order_id), None),
            seen=_seen(review, person),
            is_mine=review["claimed_by"] == person.caller.actor,
            verdicts=VERDICTS,
            kinds=[kind for kind in KINDS if review[kind]],
            treatments=TREATMENTS,
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/risk/reviews/{order_id}")
    async def page(request: Request, order_id: str) -> Response:
        return await show(request, place.enter(request, "/risk"), order_id)

    async def act(request: Request, order_id: str, step: str, make: Any, done: str) -> Response:
        person, form = await place.form(request, "/risk")
        at = f"/reviews/{words.segment(order_id)}"

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, order_id, notice, typed, status)

        deed = Deed(
            *("risk", at + step, make, done, f"/risk{at}", ("risk", at)), seen=lambda review: _seen(review, person)
        )
        return await do(place, person, form, deed, again)

    @router.post("/risk/reviews/{order_id}/claim")
    async def claim(request: Request, order_id: str) -> Response:
        return await act(request, order_id, "/claim", lambda form: None, "the review is yours")

    @router.post("/risk/reviews/{order_id}/release")
    async def release(request: Request, order_id: str) -> Response:
        return await act(request, order_id, "/release", lambda form: None, "the review is everybody's again")

    @router.post("/risk/reviews/{order_id}")
    async def decide(request: Request, order_id: str) -> Response:
        return await act(request, order_id, "", _verdict, "decided")


def _seen(review: dict[str, Any], person: Person) -> str:
    """How a review stands for somebody: decided, another's, or open."""
    if review["verdict"]:
        return str(review["verdict"])
    others = review["claimed_by"] not in (None, person.caller.actor)
    return f"claimed by {review['claimed_by']}" if others else "open"


def _verdict(form: Form) -> dict[str, Any]:
    body: dict[str, Any] = {"verdict": form["verdict"], "note": form["note"]}
    if kinds := form.many("block"):
        body["block"] = {"kinds": kinds, "treatment": form["treatment"], **_until(form)}
    return body


def _until(form: Form) -> dict[str, Any]:
    return {"until": words.typed_time(form["until"])} if form["until"].strip() else {}


# -- the blocklist -----------------------------------------------------------------------------------------------------


def _blocklist(router: APIRouter, place: Place) -> None:
    async def show(
        request: Request,
        person: Person,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
        kind: str = "",
        cursor: str = "",
    ) -> Response:
        asked = {"kind": kind}
        entries = await place.services.get("risk", "/blocklist", person.token, **asked, cursor=cursor, limit=LISTED)
        return _page(
            place,
            request,
            person,
            "risk_blocklist.html",
            entries=entries,
            asked=asked,
            kinds=KINDS,
            treatments=TREATMENTS,
            more=following(entries, asked),
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/risk/blocklist")
    async def listed(request: Request, kind: str = "", cursor: str = "") -> Response:
        return await show(request, place.enter(request, "/risk"), kind=kind, cursor=cursor)

    @router.post("/risk/blocklist/{step}")
    async def change(request: Request, step: str) -> Response:
        person, form = await place.form(request, "/risk")

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, notice, typed, status)

        if step not in ("put", "remove"):
            raise Problem(404, "no_such_route", "there is no such thing to do with the blocklist")
        if not form["value"] or form["kind"] not in KINDS:
            return await again(Notice("problem", "Say what is to be blocked.", AGAIN), form, 422)
        path = f"/blocklist/{form['kind']}/{words.segment(form['value'])}"

        def make(form: Form) -> dict[str, Any] | None:
            if step == "remove":
                return None
            return {"reason": form["reason"], "treatment": form["treatment"], **_until(form)}

        done, method = ("on the blocklist", "PUT") if step == "put" else ("off the blocklist", "DELETE")
        deed = Deed("risk", path, make, done, "/risk/blocklist", method=method, keyed=False)
        return await do(place, person, form, deed, again)


# -- accounts ----------------------------------------------------------------------------------------------------------


def _accounts(router: APIRouter, place: Place) -> None:
    @router.get("/risk/accounts")
    async def one(request: Request, account: str = "") -> Response:
        person = place.enter(request, "/risk")
        wanted = account.strip()
        answer = (
            await place.services.get("risk", f"/accounts/{words.segment(wanted)}", person.token) if wanted else None
        )
        return _page(place, request, person, "risk_accounts.html", wanted=wanted, account=answer)


# -- rules -------------------------------------------------------------------------------------------------------------


def _rules(router: APIRouter, place: Place) -> None:
    async def show(
        request: Request,
        person: Person,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
        trial: Answer | None = None,
        steps: list[dict[str, Any]] | None = None,
    ) -> Response:
        ask, token = place.services.get, person.token
        rules, signals, history = await asyncio.gather(
            ask("risk", "/rules", token),
            ask("risk", "/signals", token),
            ask("risk", "/rules/history", token, limit=HISTORY),
        )
        return _page(
            place,
            request,
            person,
            "risk_rules.html",
            rules=rules,
            signals=signals,
            history=history,
            trial=trial,
            steps=steps,
            text=typed["text"] if "text" in typed else "" if rules.problem else text_of(rules.body),
            text_max=TEXT_MAX,
            days=typed["days"] or TRIAL_DAYS,
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/risk/rules")
    async def page(request: Request) -> Response:
        return await show(request, place.enter(request, "/risk"))

    @router.post("/risk/rules/try")
    async def try_them(request: Request) -> Response:
        """Changes nothing, so it has no key: the page shows what the trial came to."""
        person, form = await place.form(request, "/risk")
        try:
            proposed = rules_of(form["text"])
            since = form["since"] or _days_ago(form["days"])
        except ValueError as error:
            return await show(request, person, Notice("problem", str(error), AGAIN), form, 422)
        body = {
            "since": since,
            **({"after": form["after"]} if form["after"] else {}),
            **({"until": form["until"]} if form["until"] else {}),
            "rules": [{"name": name, **rule} for name, rule in proposed["rules"].items()],
            "levels": proposed["levels"],
        }
        trial, now = await asyncio.gather(
            place.act(person, form, "risk", "/rules/trial", body),
            place.services.get("risk", "/rules", person.token),
        )
        if problem := trial.problem or now.problem:
            return await show(request, person, notice_of(problem), form, problem["status"])
        return await show(request, person, None, form, trial=trial, steps=differences(now.body, proposed))

    @router.post("/risk/rules/force")
    async def force(request: Request) -> Response:
        """The service changes one thing at a time: what did not come to be is still a difference, and is shown."""
        person, form = await place.form(request, "/risk")
        try:
            proposed = rules_of(form["text"])
        except ValueError as error:
            return await show(request, person, Notice("problem", str(error), AGAIN), form, 422)
        what, steps = ("rules", form["text"], form["reason"]), list[dict[str, Any]]()
        if not place.is_done(person, form, *what):
            now = await place.services.get("risk", "/rules", person.token)
            if now.problem is not None:
                return await show(request, person, notice_of(now.problem), form, now.status)
            if form["seen"] != _version(now.body):
                moved = changed(form["seen"], _version(now.body))
                return await show(request, person, moved, form, 409, steps=differences(now.body, proposed))
            steps = differences(now.body, proposed)

        async def act() -> Answer:
            answer = Answer("risk", 200, None)
            for step in steps:
                path, body = step["path"], step["body"]
                if body is None:
                    path += f"?{urlencode({'reason': form['reason']})}" if form["reason"].strip() else ""
                else:
                    body = {**body, "reason": form["reason"]}
                answer = await place.act(person, form, "risk", path, body, method=step["method"])
                if answer.problem is not None:
                    return answer
            return answer

        answer = await place.once(person, form, *what, carry_out=act)
        if answer.problem is None:
            return RedirectResponse(f"/risk/rules?{urlencode({'done': 'the rules are in force'})}", 303)
        now = await place.services.get("risk", "/rules", person.token)
        left = None if now.problem else differences(now.body, proposed)
        return await show(request, person, notice_of(answer.problem), form, answer.status, steps=left)

    @router.post("/risk/rules/restore/{version}")
    async def restore(request: Request, version: str) -> Response:
        person, form = await place.form(request, "/risk")

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, notice, typed, status)

        deed = Deed(
            *("risk", f"/rules/history/{words.segment(version)}/restore", lambda form: {"reason": form["reason"]}),
            done=f"version {version[:20]} is in force again",
            back="/risk/rules",
            about=("risk", "/rules"),
            seen=_version,
            keyed=False,
        )
        return await do(place, person, form, deed, again)


def _version(rules: dict[str, Any]) -> str:
    return f"version {rules['version']}"


def _days_ago(text: str) -> str:
    days = words.pieces(text, "number of days")
    if not 1 <= days <= 31:
        raise ValueError("A trial takes 1 to 31 days.")
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def text_of(rules: dict[str, Any]) -> str:
    """The rules in force as a text (TOML) that `rules_of` reads."""
    levels = [f"{name} = {_figure(rules['levels'][name])}" for name in LEVELS if rules["levels"][name] is not None]
    parts = ["\n".join(["[levels]", *levels])]
    for rule in rules["items"]:
        says = [
            f"{name} = {_figure(value)}"
            for name, value in rule.items()
            if name != "name" and value is not None and (name not in OF_ITSELF or value != OF_ITSELF[name])
        ]
        parts.append("\n".join([f"[rules.{json.dumps(rule['name'])}]", *says]))
    return "\n\n".join(parts) + "\n"


def _figure(value: Any) -> str:
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def rules_of(text: str) -> dict[str, Any]:
    """What a text says: {rules: {name: rule}, levels}. Whether it makes sense is the service's to say; ValueError when
    it is no such text."""
    if len(text) > TEXT_MAX:
        raise ValueError(f"Rules have at most {TEXT_MAX:,} characters.")
    try:
        said = tomllib.loads(text)
    except (ValueError, RecursionError) as wrong:
        raise ValueError(f"This cannot be read: {str(wrong)[:200]}.") from None
    rules, levels = said.pop("rules", {}), said.pop("levels", {})
    if said or not isinstance(rules, dict) or not isinstance(levels, dict):
        raise ValueError("The text has a part [levels], a part [rules.NAME] for each rule, and nothing else.")
    if set(levels) - set(LEVELS):
        raise ValueError(f"The levels are {', '.join(LEVELS)}.")
    for name, rule in (*rules.items(), ("levels", levels)):
        if not isinstance(rule, dict):
            raise ValueError(f"{name[:64]} is no rule.")
        for key, value in rule.items():
            if not isinstance(value, str | int | float) or (isinstance(value, float) and not isfinite(value)):
                raise ValueError(f"{key[:64]} of {name[:64]} is neither a text nor a number, nor true or false.")
    return {"rules": rules, "levels": {name: levels.get(name) for name in LEVELS}}


def differences(now: dict[str, Any], proposed: dict[str, Any]) -> list[dict[str, Any]]:
    """What has to be done, step by step, so that a proposal is in force: first what goes, then what comes."""
    there = {rule["name"]: {key: value for key, value in rule.items() if key != "name"} for rule in now["items"]}
    steps = [
        {"what": f"takes away {name}", "method": "DELETE", "path": f"/rules/{words.segment(name)}", "body": None}
        for name in there
        if name not in proposed["rules"]
    ]
    for name, rule in proposed["rules"].items():
        if there.get(name) != {**OF_ITSELF, **rule}:
            what = f"{'changes' if name in there else 'adds'} {name}"
            steps.append({"what": what, "method": "PUT", "path": f"/rules/{words.segment(name)}", "body": rule})
    if proposed["levels"] != now["levels"]:
        steps.append({"what": "sets the levels", "method": "PUT", "path": "/levels", "body": proposed["levels"]})
    return steps
