"""A POST is a command that is sent once and answered with what the deciding shard said."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from shared.contracts import order as ordering
from shared.contracts import payment
from shared.contracts.topics import partition_for
from shared.http.asked import Asked, command_id, order_id_for
from shared.http.auth import Caller, Role
from shared.http.commands import CommandDesk
from tests.http.shop import BASKET, BEHIND_BOUND, SETTINGS, Shop, check_problem, until

ASKED = Asked(Caller(Role.CUSTOMER, "a-1", None, "a-1"), "c-1", "f-1", keyed=True)
CANCEL = ordering.CancelOrder(order_id="o-1", reason="changed my mind")
IMPATIENT = SETTINGS.model_copy(update={"answer_wait_s": 0.05})


def keyed(shop: Shop, key: str = "k-1", **more: str) -> dict[str, str]:
    return shop.token() | {"Idempotency-Key": key} | more


async def test_an_accepted_command_is_202(shop: Shop) -> None:
    """The command is on the right topic and partition, under an envelope that says who asked."""
    answer = await shop.client.post("/orders", json=BASKET, headers=keyed(shop))
    assert answer.status_code == 202
    order_id = answer.json()["order_id"]
    assert answer.headers["location"] == f"/orders/{order_id}"
    (sent,) = shop.shard.sent
    assert (sent.topic, sent.partition, sent.key) == ("order.commands", partition_for(order_id, 3), order_id.encode())
    assert (sent.type, sent.source, sent.subject, sent.actor) == ("PlaceOrder", "http/order", order_id, "customer:a-1")
    assert sent.link == 0
    assert sent.fingerprint
    assert ordering.PlaceOrder.from_json(sent.value or b"").spus == ("apple",)


async def test_a_refused_command_is_a_problem_at_once(shop: Shop) -> None:
    """The code of the decider is the code of the answer; most are 409."""
    shop.shard.refuses["CancelOrder"] = "cancel_not_allowed"
    problem = check_problem(
        await shop.client.post("/orders/o-1/cancel", json={"reason": ""}, headers=keyed(shop)),
        409,
        "cancel_not_allowed",
    )
    assert (problem["about"], problem["detail"]) == ("o-1", "cancel_not_allowed it is")
    shop.shard.refuses["CancelOrder"] = "order_unknown"
    check_problem(await shop.client.post("/orders/o-2/cancel", headers=keyed(shop)), 404, "order_unknown")


async def test_the_same_request_again_gets_the_same_answer(shop: Shop) -> None:
    """Whatever the white space and the order of keys, nothing is sent twice."""
    first = await shop.client.post("/orders", json=BASKET, headers=keyed(shop))
    again = await shop.client.post(
        "/orders",
        content=b'{ "lines": [{"quantity": 2, "spu": "apple"}], "store": "s-1" }',
        headers=keyed(shop) | {"Content-Type": "application/json"},
    )
    assert (again.status_code, again.json()) == (202, first.json())
    assert len(shop.shard.sent) == 1


async def test_a_refusal_stays_refused(shop: Shop) -> None:
    """The answer to a key does not change, even if the command would be accepted by now."""
    shop.shard.refuses["CancelOrder"] = "cancel_not_allowed"
    check_problem(await shop.client.post("/orders/o-1/cancel", headers=keyed(shop)), 409, "cancel_not_allowed")
    shop.shard.refuses.clear()
    check_problem(await shop.client.post("/orders/o-1/cancel", headers=keyed(shop)), 409, "cancel_not_allowed")
    assert (await shop.client.post("/orders/o-1/cancel", headers=keyed(shop, "k-2"))).status_code == 202


async def test_the_same_key_with_another_body_is_422(shop: Shop) -> None:
    """A key names one request."""
    await shop.client.post("/orders", json=BASKET, headers=keyed(shop))
    other = BASKET | {"store": "s-2"}
    check_problem(await shop.client.post("/orders", json=other, headers=keyed(shop)), 422, "idempotency_key_reused")


async def test_two_bodies_under_one_key_at_the_same_time(shop: Shop) -> None:
    """Both are sent, the shard decides the id once, and the other is told."""
    shop.shard.silent = True
    answers = [
        asyncio.create_task(shop.client.post("/orders", json=BASKET | {"store": store}, headers=keyed(shop)))
        for store in ("s-1", "s-2")
    ]
    await until(lambda: len(shop.shard.sent) == 2)
    for delivery in shop.shard.sent:
        shop.shard.decide(delivery)
    first, second = await asyncio.gather(*answers)
    assert sorted([first.status_code, second.status_code]) == [202, 422]
    check_problem(second if second.status_code == 422 else first, 422, "idempotency_key_reused")


async def test_one_key_may_be_used_for_two_orders_and_by_two_callers(shop: Shop) -> None:
    """A key is scoped to the caller and the address."""
    for address, headers in (
        ("o-1", keyed(shop)),
        ("o-2", keyed(shop)),
        ("o-1", keyed(shop) | shop.token(account="a-2")),
    ):
        assert (await shop.client.post(f"/orders/{address}/cancel", headers=headers)).status_code == 202
    assert len({sent.id for sent in shop.shard.sent}) == 3


async def test_people_who_work_here_have_their_own_keys(shop: Shop) -> None:
    """Two of one role may use the same key; one of them with a fresh token repeats what was sent."""
    staff: tuple[dict[str, Any], ...] = ({"name": "maria"}, {"name": "jo"}, {}, {"name": "maria", "ttl_s": 60})
    for more in staff:
        headers = keyed(shop) | shop.token("admin", **more)
        assert (await shop.client.post("/orders/o-1/cancel", headers=headers)).status_code == 202
    assert [sent.actor for sent in shop.shard.sent] == ["admin:maria", "admin:jo", "admin:"]


async def test_without_a_key_every_request_is_a_new_one(shop: Shop) -> None:
    """Two baskets without keys are two orders."""
    answers = [await shop.client.post("/orders", json=BASKET, headers=shop.token()) for _ in range(2)]
    assert len({answer.json()["order_id"] for answer in answers}) == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there", "\x7f", "\xe4"])
async def test_a_key_is_1_to_200_printable_characters(shop: Shop, key: str) -> None:
    """Anything else is 422 and names the header."""
    headers = httpx.Headers([*shop.token().items()], encoding="latin-1")
    headers["Idempotency-Key"] = key
    problem = check_problem(await shop.client.post("/orders", json=BASKET, headers=headers), 422, "invalid_request")
    assert (problem["errors"][0]["in"], problem["errors"][0]["path"]) == ("header", "idempotency-key")


async def test_an_answer_that_does_not_come_is_503_and_may_be_asked_for_again(shop: Shop) -> None:
    """The same key gets the answer once it is there, and nothing is carried out twice."""
    desk = CommandDesk("order", shop.shard.publish, shop.shard.pool, IMPATIENT)
    shop.desk = desk
    shop.shard.silent = True
    answer = await shop.client.post("/orders", json=BASKET, headers=keyed(shop))
    problem = check_problem(answer, 503, "answer_pending")
    assert answer.headers["retry-after"]
    assert "same Idempotency-Key" in problem["detail"]
    assert desk.waiting == 0
    shop.shard.decide(shop.shard.sent[0])
    again = await shop.client.post("/orders", json=BASKET, headers=keyed(shop))
    assert again.status_code == 202
    assert len(shop.shard.sent) == 1
    await desk.close()


async def test_without_a_key_a_pending_answer_warns(shop: Shop) -> None:
    """Who sent no key must look before sending again."""
    shop.desk = CommandDesk("order", shop.shard.publish, shop.shard.pool, IMPATIENT)
    shop.shard.silent = True
    problem = check_problem(await shop.client.post("/orders", json=BASKET, headers=shop.token()), 503, "answer_pending")
    assert "look whether" in problem["detail"]
    await shop.desk.close()


async def test_a_broker_that_is_away_is_503(shop: Shop) -> None:
    """A send that failed may have arrived all the same: only the same key may follow it."""
    shop.shard.lost = KafkaConnectionError("no broker")
    check_problem(await shop.client.post("/orders", json=BASKET, headers=keyed(shop)), 503, "answer_pending")
    shop.shard.lost = MessageSizeTooLargeError("too large")
    check_problem(await shop.client.post("/orders", json=BASKET, headers=keyed(shop)), 413, "body_too_large")


async def test_a_database_that_is_away_is_503_and_nothing_is_sent(shop: Shop) -> None:
    """A repeat cannot be told from a first request now, so neither is taken."""
    shop.shard.away = True
    answer = await shop.client.post("/orders", json=BASKET, headers=keyed(shop))
    check_problem(answer, 503, "unavailable")
    assert shop.shard.sent == []


async def test_a_database_that_goes_away_while_one_waits(shop: Shop) -> None:
    """Looking goes on; the answer is there when the database is back."""
    shop.shard.silent = True
    waits = asyncio.create_task(shop.client.post("/orders", json=BASKET, headers=keyed(shop)))
    await until(lambda: bool(shop.shard.sent))
    shop.shard.away = True
    looks = len(shop.shard.asked_for)
    await until(lambda: len(shop.shard.asked_for) > looks)
    shop.shard.away = False
    shop.shard.decide(shop.shard.sent[0])
    assert (await waits).status_code == 202


async def test_the_number_of_waiting_commands_is_bounded(shop: Shop) -> None:
    """One more than the bound is 503 `overloaded`, and was not sent."""
    shop.shard.silent = True
    shop.desk._lookout._waiting_max = 2
    waits = [asyncio.create_task(shop.client.post("/orders", json=BASKET, headers=shop.token())) for _ in range(2)]
    await until(lambda: shop.desk.waiting == 2)
    answer = await shop.client.post("/orders", json=BASKET, headers=shop.token())
    check_problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"]
    assert len(shop.shard.sent) == 2
    for delivery in shop.shard.sent:
        shop.shard.decide(delivery)
    assert [answer.status_code for answer in await asyncio.gather(*waits)] == [202, 202]


async def test_new_orders_are_refused_while_the_service_is_behind(shop: Shop) -> None:
    """Past the bound new orders get 503 with Retry-After; orders under way go on."""
    shop.behind = BEHIND_BOUND + 1
    answer = await shop.client.post("/orders", json=BASKET, headers=shop.token())
    check_problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"]
    assert (await shop.client.post("/orders/o-1/cancel", headers=shop.token())).status_code == 202
    shop.behind = BEHIND_BOUND
    assert (await shop.client.post("/orders", json=BASKET, headers=shop.token())).status_code == 202


async def test_without_a_hint_the_answer_is_found_all_the_same(shop: Shop) -> None:
    """Another worker may own the shard: nobody hints here, the desk looks by itself."""
    shop.shard.committed = lambda ids: None
    assert (await shop.client.post("/orders", json=BASKET, headers=shop.token())).status_code == 202


async def test_everybody_who_waits_is_asked_for_at_once(shop: Shop) -> None:
    """A hundred waiting commands do not make a hundred queries."""
    answers = await asyncio.gather(
        *(shop.client.post("/orders", json=BASKET, headers=shop.token()) for _ in range(100))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len(shop.shard.asked_for) < 50


async def test_a_desk_sends_to_its_own_service_only(shop: Shop) -> None:
    """A wrong wiring is found at the first call."""
    with pytest.raises(ValueError, match=r"goes to payment\.commands"):
        await shop.desk.send(
            payment.TakePayment(order_id="o-1", attempt=1, amount=1, currency="EUR", method="tok_ok"), ASKED
        )


async def test_a_service_may_look_at_a_refusal_itself(shop: Shop) -> None:
    """`answer_to` gives refusals as answers."""
    shop.shard.refuses["CancelOrder"] = "cancel_not_allowed"
    answer = await shop.desk.answer_to(CANCEL, ASKED)
    assert (answer.accepted, answer.code, answer.subject) == (False, "cancel_not_allowed", "o-1")
    accepted = replace(ASKED, command_id="c-2")
    shop.shard.refuses.clear()
    assert (await shop.desk.answer_to(CANCEL, accepted)).accepted


def test_ids_follow_from_caller_route_and_key() -> None:
    """The parts are kept apart, and a key makes an id that can be told again."""
    assert command_id("a", "b", "c") == command_id("a", "b", "c")
    assert len({command_id("a", "b", "c"), command_id("ab", "", "c"), command_id("a", "bc", "")}) == 3
    assert command_id("a", "b", None) != command_id("a", "b", None)
    assert len(command_id("a", "b", None)) == len(command_id("a", "b", "c")) == 32
    order_id = order_id_for("c-1")
    assert order_id == order_id_for("c-1") != order_id_for("c-2")
    ordering.CancelOrder(order_id=order_id)  # it is a Name
