"""A stand-in for all of larder behind its topics: answers commands as the services would, simply and at once.

What it loses and what it says twice is set by the test: a load has to live with both.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

COMMANDS = ("order.commands", "logistics.commands", "inventory.commands")
WORK = {
    "StartPicking": "PickingStarted",
    "ReportPicked": "PickingFinished",
    "ReportPacked": "FulfilmentPacked",
    "HandOver": "FulfilmentHandedOver",
    "ReportDelivered": "FulfilmentDelivered",
}
TOTAL = 1234


class Peer:
    """Answers on `bootstrap`; `loses(command id, type)` says which commands never arrive."""

    def __init__(self, bootstrap: str) -> None:
        self.loses: Callable[[str, str], bool] = lambda id_, type_: False
        self.says_twice = False
        self.puts: list[str] = []
        """Paths that were PUT over HTTP."""
        self.deleted: list[str] = []
        """Paths that were DELETEd."""
        self.orders: dict[str, dict[str, Any]] = {}
        self.decided: list[str] = []
        """Command ids, each once, in the order in which they were decided."""
        self._bootstrap = bootstrap
        self._link = 0
        self._seen: set[str] = set()

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        """Answers for as long as the context lasts; gives the port of its HTTP."""
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap)
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False)
        await producer.start()
        await consumer.start()
        partitions = [TopicPartition(topic, 0) for topic in COMMANDS]
        consumer.assign(partitions)
        for partition, offset in (await consumer.end_offsets(partitions)).items():
            consumer.seek(partition, offset)
        server = await asyncio.start_server(self._http, "127.0.0.1", 0)
        answering = asyncio.create_task(self._answer(consumer, producer))
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            answering.cancel()
            with suppress(asyncio.CancelledError):
                await answering
            server.close()
            await consumer.stop()
            await producer.stop()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                if head.startswith("put"):
                    self.puts.append(head.split()[1])
                    await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
                elif head.startswith("delete"):
                    self.deleted.append(head.split()[1])
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    async def _answer(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        async for record in consumer:
            headers = {name: content.decode() for name, content in record.headers}
            id_, type_ = headers["ce_id"], headers["ce_type"]
            assert headers["ce_actor"]
            if id_ in self._seen or self.loses(id_, type_):
                continue
            self._seen.add(id_)
            self.decided.append(id_)
            body = msgspec.json.decode(record.value)
            service = record.topic.partition(".")[0]
            subject = body.get("order_id") or body["request_id"]
            told = {"command_id": id_, "command": type_, "subject_id": subject}
            accepted = ("CommandAccepted", f"{service}.answers", told)
            facts = [(event, f"{of}.events", said) for event, of, said in self._decide(type_, body)]
            for event, topic, said in (accepted, *facts):
                self._link += 1
                key = said.get("order_id") or subject
                attributes = [
                    ("ce_specversion", b"1.0"),
                    ("ce_id", b"e-%d" % self._link),
                    ("ce_type", event.encode()),
                    ("link", b"%d" % self._link),
                ]
                for _ in range(1 + self.says_twice):
                    await producer.send(topic, msgspec.json.encode(said), key.encode(), headers=attributes)

    def _decide(self, type_: str, body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        if type_ == "ReceiveGoods":
            return []
        order_id = body["order_id"]
        if type_ == "PlaceOrder":
            self.orders[order_id] = {"order_id": order_id, "store": body["store"], "account": body["account"]}
        order = self.orders[order_id]
        payable = ("OrderPayable", "order", {**order, "total": TOTAL, "payable_until": "2026-01-01T00:00:00Z"})
        match type_:
            case "PlaceOrder" if "larder-nowhere" in body["spus"]:
                return [("OrderRejected", "order", {**order, "reason": "out_of_stock"})]
            case "PlaceOrder":
                return [payable]
            case "CancelOrder":
                return [("OrderCancelled", "order", {**order, "reason": "cancelled_by_customer"})]
            case "PayOrder" if body["method"] != "tok_ok":
                return [payable]
            case "PayOrder":
                assert body["expected_total"] == TOTAL
                return [("OrderPaid", "order", {**order, "total": TOTAL}), ("FulfilmentQueued", "logistics", order)]
        events = [(WORK[type_], "logistics", order)]
        if type_ == "ReportDelivered":
            events += [("OrderDelivered", "order", order), ("OrderClosed", "order", order)]
        return events
