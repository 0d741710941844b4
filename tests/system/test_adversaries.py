"""`larder load` with adversaries, against everything: it ends whatever risk says of them."""

from larder.load.baskets import read_baskets
from larder.load.display import Plain
from larder.load.mix import Adversaries, After, Back, Mix
from larder.load.play import Play
from larder.load.run import Load, Options
from larder.load.sample import BASKETS, read_names
from tests.system.driver import Stack, good

MIX = Mix(0, 0, 0, 0, 0, 0, Back.none(), After.none(), adversaries=Adversaries(0.2, 0.15, 0.15, 0.05, 0.15))


async def test_a_load_ends_whatever_becomes_of_its_adversaries(stack: Stack) -> None:
    """Cleared, restricted, refused, or referred until the review window ends: every order ends by itself, each verdict
    is counted where it belongs, and only those who were cleared locked stock."""
    with Play.of(read_baskets(BASKETS), 60) as play:
        load = Load(stack.settings, Options(120, rate=60, mix=MIX), play, read_names(), Plain())
        entries = {
            f"account/adversary/unpaid/{load.run_id}/0": "restrict",
            f"address/home of adversary/flood/{load.run_id}": "refer",
            f"device/phone 0 of adversary/device/{load.run_id}": "refuse",
        }
        for path, treatment in entries.items():
            body = {"reason": "a test", "treatment": treatment}
            good(await stack.ask("PUT", "risk", f"/blocklist/{path}", body, by="risk_analyst"))
        await load.run()
        for path in entries:
            good(await stack.ask("DELETE", "risk", f"/blocklist/{path}", by="risk_analyst"))
    assert (load.stuck, load.robots.orders, load.watch is None) == ([], {}, False)
    assert load.watch is not None
    told = load.watch.summary()
    kinds = told["adversaries"]["kinds"]
    for kind, verdict in {"unpaid": "restricted", "flood": "referred", "device": "refused"}.items():
        assert kinds[kind][verdict] == kinds[kind]["orders"] > 5, kind
        assert kinds[kind]["locked_piece_s"] == 0, kind
    held_s = kinds["cancelling"]["locked_piece_s"] / kinds["cancelling"]["orders"]
    assert kinds["cancelling"]["cleared"] == kinds["cancelling"]["orders"]
    assert held_s > stack.settings.payment_window_s / 2  # at least a piece each, for half of the window
    assert kinds["stolen"]["cleared"] == kinds["stolen"]["orders"] > 0
    assert told["honest"]["mistaken"] == {"orders": 0, "accounts": 0}
    assert told["honest"]["cleared"] == told["honest"]["orders"] == 120 - told["adversaries"]["orders"]
    assert told["locks_open"] == 0
