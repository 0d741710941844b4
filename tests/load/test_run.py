"""Whole loads on a real broker, against a stand-in for the services."""

import zlib
from collections.abc import AsyncIterator

import pytest

from larder.load import shelves
from larder.load.baskets import read_baskets
from larder.load.catalogue import wanted
from larder.load.display import Plain
from larder.load.errors import LoadError
from larder.load.figures import End
from larder.load.mix import Back, Mix
from larder.load.own_parked import own_parked
from larder.load.play import Play
from larder.load.run import Load, Options, refuse_far_hosts
from larder.load.sample import BASKETS, read_names
from larder.stack.migrate import connect
from shared.settings import Settings
from tests.load.peer import Peer

ORDERS = 60
NOBODY = Mix(0, 0, 0, 0, 0, 0, Back.none())
SOME = Mix(unpaid=0, cancel=0.1, declined=0.1, late=0, twice=0, short=0.1, back=Back.none())

pytestmark = pytest.mark.parts


class Shop:
    """A stand-in that answers, and loads against it."""

    def __init__(self, peer: Peer, settings: Settings) -> None:
        self.peer = peer
        self._settings = settings

    def load(self, mix: Mix = NOBODY, **options: float) -> Load:
        play = Play.of(read_baskets(BASKETS), 25)
        asked = Options(ORDERS, mix=mix, **options)  # type: ignore[arg-type]
        return Load(self._settings, asked, play, read_names(), Plain())


@pytest.fixture
async def shop(migrated: Settings) -> AsyncIterator[Shop]:
    """A stand-in on the real broker."""
    peer = Peer(migrated.bootstrap())
    async with peer.answering() as port:
        windows = {"payment_window_s": 5, "after_sales_window_s": 1, "gateway_timeout_s": 1}
        yield Shop(peer, migrated.model_copy(update={"order_port": port, **windows}))


async def test_all_baskets_become_orders_and_end(shop: Shop):
    """More orders than baskets, a small window, some tails: each order ends in one of three ways."""
    load = shop.load(SOME, window=7)
    await load.run()
    told = load.figures.summary(load.robots.placed, None, "b", "d")
    assert load.stuck == []
    assert told["orders"] == ORDERS == told["completed"] + told["cancelled"] + told["rejected"]
    assert min(told["completed"], told["cancelled"], told["rejected"]) > 0
    assert told["place_to_payable_ms"]["p99"] > 0
    assert "/products" in shop.peer.puts
    assert len([path for path in shop.peer.puts if path.startswith("/stores/")]) > 1


async def test_lost_commands_are_sent_again_and_doubled_events_change_nothing(shop: Shop, monkeypatch):
    """At least once in both directions: a load still ends, and every command has been decided once."""
    lost: set[str] = set()

    def loses(id_: str, type_: str) -> bool:
        first_time = id_ not in lost
        lost.add(id_)
        return first_time and type_ != "ReceiveGoods" and zlib.crc32(id_[-9:].encode()) % 5 == 0

    shop.peer.loses, shop.peer.says_twice = loses, True
    monkeypatch.setattr("larder.load.robots.RESEND_S", 0.3)
    monkeypatch.setattr("larder.load.run.WATCH_EVERY_S", 0.1)
    load = shop.load()
    await load.run()
    assert load.figures.counts[End.COMPLETED] == ORDERS
    assert load.robots.resends > 0
    assert len([id_ for id_ in shop.peer.decided if id_.startswith(f"l-{load.run_id}-") and "-pay-" in id_]) == ORDERS


async def test_a_load_that_stands_still_says_who_waits_for_what(shop: Shop, monkeypatch):
    """Nothing moves any more: the load ends, and names the phase and some orders."""
    shop.peer.loses = lambda id_, type_: type_ == "ReportPacked"
    monkeypatch.setattr("larder.load.run.PATIENCE_S", 0.5)
    monkeypatch.setattr("larder.load.run.WATCH_EVERY_S", 0.1)
    load = shop.load(window=ORDERS)
    await load.run()
    assert f"{ORDERS} orders have not ended" in load.stuck[0]
    assert f"{ORDERS} wait for FulfilmentPacked: l-{load.run_id}-1, " in load.stuck[1]


async def test_a_rate_is_kept(shop: Shop):
    """Orders are placed at the rate that was asked for, not as fast as can be."""
    load = shop.load(rate=100)
    await load.run()
    assert load.figures.seconds >= (ORDERS - 1) / 100
    assert load.figures.counts[End.COMPLETED] == ORDERS


async def test_promotions_are_on_during_the_load_and_one_changes_in_its_midst(shop: Shop, monkeypatch):
    """Written before the first order, one of them written again while orders are placed, all ended after the last; and
    some orders named a coupon."""
    monkeypatch.setattr("larder.load.run.WATCH_EVERY_S", 0.1)
    load = shop.load(rate=100, promotions=True)
    await load.run()
    ours = [path for path in shop.peer.puts if path.startswith("/promotions/")]
    assert len(ours) == len(set(ours)) + 1
    assert sorted(set(ours)) == sorted(shop.peer.deleted)
    assert 0 < load.promotions_told()["promotions"]["coupons"] < ORDERS


async def test_two_loads_share_no_id(shop: Shop):
    """The same seed twice makes the same customers, and orders of their own."""
    first, second = shop.load(), shop.load()
    assert first.run_id != second.run_id


@pytest.mark.parametrize("bootstrap", ["localhost:1", "127.0.0.1:9092", "127.9.9.9:1", "[::1]:9092"])
def test_this_machine_may_be_loaded(bootstrap):
    """Loopback addresses are taken."""
    refuse_far_hosts(bootstrap)


@pytest.mark.parametrize("bootstrap", ["kafka:9092", "10.0.0.1:9092", "127.0.0.1:1,example.com:9092", "0.0.0.0:9092"])
def test_other_machines_are_refused(bootstrap):
    """A load never fills somebody else's shop."""
    with pytest.raises(LoadError, match="this machine only"):
        refuse_far_hosts(bootstrap)


def test_a_small_load_has_a_small_window():
    """Else all its orders would end in one burst, and the rate of the burst would be taken for larder's speed."""
    assert [Options(orders).most_under_way for orders in (10, 1_000, 50_000)] == [50, 200, 3_000]
    assert Options(50_000, window=4_000).most_under_way == 4_000
    assert Options(100, rate=10).most_under_way == 20_000


async def test_loads_follow_each_other_and_overwrite_nobody(shop: Shop, migrated: Settings):
    """What the first load told is left alone by the second; a price that somebody changed stops the third before it
    sends anything, and goes only by --overwrite."""
    book = await connect(migrated.dsn("order"), "order")
    try:
        with Play.of(read_baskets(BASKETS), 25) as play:
            needed = wanted(play, read_names())
        products = [(spu, *product) for spu, product in needed.products.items()]
        await book.executemany("insert into products (spu, name, price, category) values ($1, $2, $3, $4)", products)
        stores = [(id_, store.name, store.accepting, "", *store.bounds) for id_, store in needed.stores.items()]
        await book.executemany("insert into stores values ($1, $2, $3, $4, $5, $6, $7, $8)", stores)
        await shop.load().run()
        assert shop.peer.puts == []
        decided = len(shop.peer.decided)
        spu = next(iter(needed.products))
        await book.execute("update products set price = price + 1 where spu = $1", spu)
        with pytest.raises(LoadError, match=f"1 products and stores are there already.*product {spu}: price is"):
            await shop.load().run()
        assert (shop.peer.puts, len(shop.peer.decided)) == ([], decided)
        await shop.load(overwrite=True).run()
        assert shop.peer.puts == ["/products"]
    finally:
        await book.execute("truncate products, stores")
        await book.close()


async def test_commands_of_its_own_that_parked_are_found_by_their_ids(migrated: Settings):
    """A run's own commands count, wherever they parked; another run's, and what was replayed, do not."""
    rows = [
        ("l-1xa-7-place", "PlaceOrder", "malformed", "parked"),
        ("l-1xa-8-pay-1", "PayOrder", "no_cell", "dropped"),
        ("l-1xa-9-pay-1", "PayOrder", "no_cell", "replayed"),
        ("l-1xab-7-place", "PlaceOrder", "malformed", "parked"),
        ("mine", "PlaceOrder", "malformed", "parked"),
    ]
    insert = """insert into parked (shard, subject, topic, kafka_partition, kafka_offset, message_id, message_type,
        headers, code, reason, parked_at, state) values (0, 'x', 'x', 0, 0, $1, $2, '[]', $3, '', now(), $4)"""
    books = [await connect(migrated.dsn(service), service) for service in ("order", "logistics")]
    try:
        for book in books:
            await book.executemany(insert, rows)
        assert await own_parked(migrated, "1xa") == {"PlaceOrder: malformed": 2, "PayOrder: no_cell": 2}
    finally:
        for book in books:
            await book.execute("delete from parked where topic = 'x'")
            await book.close()


async def test_a_service_that_is_down_is_told_with_its_address(migrated: Settings, monkeypatch: pytest.MonkeyPatch):
    """Nobody listens where orders are taken: one sentence names the address, and no stock was sent before."""
    monkeypatch.setattr(shelves, "CALL_PATIENCE_S", 0)
    peer = Peer(migrated.bootstrap())
    async with peer.answering():
        with pytest.raises(LoadError, match=r"GET http://127\.0\.0\.1:1/readyz was not taken"):
            await Shop(peer, migrated.model_copy(update={"order_port": 1})).load().run()
        assert peer.decided == []
