"""Adversaries: who orders what, on which device, to which address; and which wishes for them make no sense."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice

import pytest
from typer.testing import CliRunner

from larder.cli import app
from larder.load.adversaries import Cast, Role
from larder.load.baskets import Basket
from larder.load.catalogue import bounds_of
from larder.load.mix import HISTORY, Adversaries, After, Back, BadMix, Mix, Tail
from larder.load.play import Play
from shared.contracts import order as ordering
from shared.settings import Settings, get_settings

ORDERS = 2_000
BASKETS = [
    Basket(n, f"a-{n % 40}", f"s-{n % 3}", ["apple", "tea", "milk"], [2, 1, 3], [250, 900, 199]) for n in range(100)
]
SHARES = Adversaries(cancelling=0.05, unpaid=0.05, device=0.03, stolen=0.01, flood=0.03)


@pytest.fixture
def play() -> Iterator[Play]:
    with Play.of(BASKETS, 100) as play:
        yield play


def roles(play: Play, adversaries: Adversaries = SHARES, seed: int = 1, run: str = "1xa") -> list[Role]:
    mix = Mix(0, 0, 0, 0, 0, 0, Back.none(), After.none(), adversaries=adversaries)
    return list(islice(Cast(mix, seed, ORDERS, run, play), ORDERS))


def placed(role: Role) -> ordering.PlaceOrder:
    """The command as larder reads it: all that it refuses fails here."""
    return ordering.PlaceOrder.from_json(b'{"order_id":"o-1"' + role.basket.rest)


def address(order: ordering.PlaceOrder) -> str:
    assert order.delivery is not None
    return order.delivery.address


def test_every_kind_has_its_share(play: Play):
    """Of all orders, give or take what chance does."""
    counts = Counter(role.kind for role in roles(play))
    for kind, share in (("cancelling", 0.05), ("unpaid", 0.05), ("device", 0.03), ("flood", 0.03), ("stolen", 0.01)):
        assert counts[kind] == pytest.approx(share * ORDERS, rel=0.4), kind
    assert counts[None] == pytest.approx(0.83 * ORDERS, rel=0.05)


def test_the_same_seed_makes_the_same_evening(play: Play):
    """Names aside, which are of one load: two loads are told apart, and can be compared."""
    first, second, other = roles(play, run="1xa"), roles(play, run="1xb"), roles(play, seed=2)
    assert [(r.kind, r.tail, r.basket.store, r.basket.pieces) for r in first] == [
        (r.kind, r.tail, r.basket.store, r.basket.pieces) for r in second
    ]
    assert [r.kind for r in first] != [r.kind for r in other]
    assert not {r.basket.account for r in first} & {r.basket.account for r in second}


def test_no_customer_has_anything_of_an_adversary(play: Play):
    """Accounts (but stolen ones), devices and addresses of both share nothing, and every order is one that larder
    takes: with a door inside the area of its store."""
    seen: dict[bool, set[str]] = {True: set(), False: set()}
    for role in roles(play):
        order = placed(role)
        assert order.delivery is not None
        west, south, east, north = bounds_of(role.basket.store)
        assert (west < order.delivery.lon < east, south < order.delivery.lat < north) == (True, True)
        assert order.device is not None
        whose = seen[role.kind is not None]
        whose |= {order.device, order.delivery.address}
        if role.kind != "stolen":
            whose.add(order.account)
    assert not seen[True] & seen[False]


def test_customers_have_a_device_each_and_some_share_an_office(play: Play):
    """One account, one device; nine in ten have an address of their own."""
    devices, homes = defaultdict(set), defaultdict(set)
    for role in roles(play, Adversaries.none()):
        order = placed(role)
        devices[order.device].add(order.account)
        homes[address(order)].add(order.account)
    assert all(len(accounts) == 1 for accounts in devices.values())
    assert len(devices) == 40
    offices = {home for home in homes if home.startswith("office in ")}
    assert 0 < len(offices) < 10
    assert all(len(homes[home]) == 1 for home in homes.keys() - offices)


def test_who_cancels_or_never_pays_does_so_again_and_again(play: Play):
    """Few accounts, many orders each."""
    for kind, tail in (("cancelling", Tail.CANCELS_LATE), ("unpaid", Tail.UNPAID)):
        own = [role for role in roles(play) if role.kind == kind]
        accounts = Counter(role.basket.account for role in own)
        assert {role.tail for role in own} == {tail}
        assert len(accounts) == 5
        assert min(accounts.values()) >= 10


def test_a_device_has_many_accounts_and_a_flooded_address_too(play: Play):
    """Each account orders once: only the device, or the address, tells."""
    cast = roles(play)
    on_devices = [placed(role) for role in cast if role.kind == "device"]
    flood = [placed(role) for role in cast if role.kind == "flood"]
    assert len({o.account for o in on_devices}) == len({address(o) for o in on_devices}) == len(on_devices)
    assert len({o.device for o in on_devices}) == 3
    assert len({o.account for o in flood}) == len({o.device for o in flood}) == len(flood)
    assert len({address(o) for o in flood}) == len({o.store for o in flood}) == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_stolen_account_has_small_orders_of_its_own_customer_before(play: Play, seed: int):
    """Three on one device and to one address, then one for four times as much and more, with neither."""
    own: dict[str, list[ordering.PlaceOrder]] = defaultdict(list)
    thefts = []
    for role in roles(play, seed=seed):
        order = placed(role)
        if role.kind == "stolen":
            thefts.append(order)
            before = own[order.account]
            assert len(before) == HISTORY
            assert len({(o.device, address(o)) for o in before}) == 1
            assert order.device != before[0].device
            assert address(order) != address(before[0])
            assert price(order) >= 4 * max(map(price, before))
        elif order.account.startswith("robbed/"):
            assert (role.tail, role.basket.pieces) == (Tail.PAYS, 1)
            own[order.account].append(order)
    assert len({o.account for o in thefts}) == len(thefts) > 10


def price(order: ordering.PlaceOrder) -> int:
    prices = {"apple": 250, "tea": 900, "milk": 199}
    return sum(prices[spu] * quantity for spu, quantity in zip(order.spus, order.quantities, strict=True))


def test_the_flood_finds_stock_and_takes_no_basket_from_customers(play: Play):
    """What it orders is more than the baskets: the shelves are filled for it, in its store only."""
    before = {store: dict(demand) for store, demand in play.demand.items()}
    flood = [role for role in roles(play, Adversaries.of("flood=0.1")) if role.kind]
    store = flood[0].basket.store
    order = placed(flood[0])
    for spu, quantity in zip(order.spus, order.quantities, strict=True):
        more = (play.demand[store][spu] - before[store][spu]) * play.plays(ORDERS)
        assert more >= len(flood) * quantity
    assert {s: d for s, d in play.demand.items() if s != store} == {s: d for s, d in before.items() if s != store}


def test_customers_do_the_same_with_and_without_adversaries(play: Play):
    """Adversaries come on top: who pays, cancels or complains is drawn as in a load without them."""
    mixed = [role.tail for role in islice(Cast(Mix(), 7, ORDERS, "x", play), ORDERS)]
    adverse = Cast(Mix(adversaries=Adversaries.of("unpaid=0.3")), 7, ORDERS, "x", play)
    honest = [role.tail for role in islice(adverse, ORDERS) if role.kind is None]
    assert honest == mixed[: len(honest)]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--adversaries", "hackers=0.1"], "there are no adversaries of the kind 'hackers'; there are cancelling, unp"),
        (["--adversaries", ""], "there are no adversaries of the kind ''"),
        (["--adversaries", "unpaid=lots"], "the share of unpaid adversaries is a number from 0 to 1, not 'lots'"),
        (["--adversaries", "unpaid=0.1,unpaid=0.2"], "the share of unpaid adversaries is said twice"),
        (["--adversaries", "unpaid=-0.1"], "the share of unpaid adversaries -0.1 is not from 0 to 1"),
        (["--adversaries", "unpaid=nan"], "the share of unpaid adversaries nan is not from 0 to 1"),
        (["--adversaries", "unpaid=0.6,flood=0.6"], "adversaries have 1.2 of all orders"),
        (["--adversaries", "stolen=0.3"], "and the customers whose accounts are stolen 0.9"),
        (["--adversaries", "unpaid=0", "--adversary-share", "0.1"], "none of these has a share"),
        (["--adversary-share", "0.1"], "adversaries wait for the end of the payment window: it is 600 s"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(asked, told, monkeypatch, tmp_path):
    """One sentence and exit code 1, before anything is sent."""
    monkeypatch.setenv("LARDER_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    get_settings.cache_clear()
    done = CliRunner().invoke(app, ["load", "--orders", "5", *asked])
    get_settings.cache_clear()
    assert done.exit_code == 1
    assert told in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_the_windows_that_adversaries_wait_for_must_be_short():
    """Their orders expire, or wait in vain for a person's verdict; other loads do not care."""
    mix = Mix(adversaries=Adversaries())
    short = Settings(payment_window_s=8, review_window_s=8, gateway_timeout_s=3)
    assert mix.fitted(short)[0].adversaries == Adversaries()
    with pytest.raises(BadMix, match="review window: it is 61 s"):
        mix.fitted(short.model_copy(update={"review_window_s": 61.0}))
    assert Mix().fitted(Settings(review_window_s=61))[0].cancel == Mix().cancel


def test_the_adversaries_as_they_come_can_be_scaled():
    """The kinds keep their proportion."""
    assert Adversaries().scaled(0.34).cancelling == pytest.approx(0.1)
    scaled = Adversaries.of("unpaid=0.1, flood=0.3").scaled(0.2)
    assert (scaled.unpaid, scaled.flood, scaled.together) == pytest.approx((0.05, 0.15, 0.2))
