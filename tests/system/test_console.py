"""The console in a real browser, against the running stack: people do their work, and nothing of theirs is lost.

Needs Debian's `chromium` (package chromium); where there is none these tests say so and are left out.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.system.driver import Stack, good, until
from tests.system.shop import APPLE, MILK, Shop
from tests.system.test_shortage import short

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PHONE = {"width": 360, "height": 800}
DESK = {"width": 1280, "height": 900}
SERIOUS = ("serious", "critical")
PATIENCE_MS = 20_000

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all of these tests."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@asynccontextmanager
async def at_work(
    browser: Browser, stack: Stack, who: str, *, viewport: dict[str, int] = DESK, theme: Any = "light"
) -> AsyncIterator[Page]:
    """A page of somebody (`role:name@store`) who has signed in by a link. A script that breaks, and anything that the
    content security policy had to stop, fails the test."""
    role, _, rest = who.partition(":")
    name, _, store = rest.partition("@")
    told = await stack.larder("console", "--role", role, "--name", name, *(("--store", store) if store else ()))
    assert told.status == 0, told.err
    context = await browser.new_context(viewport=viewport, color_scheme=theme)  # type: ignore[arg-type]
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    await page.goto(told.out.strip().splitlines()[-1])
    await expect(page.locator(".who")).to_contain_text(name)
    yield page
    await context.close()
    assert wrong == []


def home(stack: Stack, path: str) -> str:
    """An address of the console."""
    return f"http://127.0.0.1:{stack.settings.port('console')}{path}"


async def press(page: Page, name: str) -> None:
    """A button, by its words."""
    await page.get_by_role("button", name=name, exact=True).click()


async def test_an_order_is_picked_and_delivered_on_phones(browser: Browser, stack: Stack, shop: Shop) -> None:
    """By a picker with a scanner and a courier, each in their own room."""
    order = await shop.paid({shop.apple: 2, shop.milk: 1})
    order_id = order["order_id"]
    await shop.fulfilment(order_id, "queued")
    async with at_work(browser, stack, f"picker:maria@{shop.store}", viewport=PHONE) as page:
        await page.goto(home(stack, "/pick"))
        await page.get_by_text(order_id).click()
        await press(page, "Begin to pick")
        await expect(page.get_by_role("button", name="Picked")).to_be_visible()
        await page.wait_for_load_state()
        for code, told in (
            (shop.apple, "1 of 2"),
            (shop.apple, "2 of 2"),
            (shop.apple, "one too many"),
            ("x-1", "not in"),
        ):
            await page.keyboard.type(code)  # a scanner is a keyboard
            await page.keyboard.press("Enter")
            await expect(page.locator("#scanned")).to_contain_text(told)
        await press(page, "Picked")
        await press(page, "Packed")
        await expect(page.locator("h1")).to_contain_text("packed")
    async with at_work(browser, stack, f"courier:ben@{shop.store}", viewport=PHONE) as page:
        await page.goto(home(stack, "/courier"))
        await page.get_by_text(order_id).click()
        await press(page, "I have the bags")
        await press(page, "Delivered")
        await expect(page.locator("h1")).to_contain_text("delivered")
    await shop.until(order_id, "delivered", "closed")
    assert (await shop.fulfilment(order_id, "delivered"))["courier"] == "ben"


async def test_a_customer_is_called_about_a_short_line(browser: Browser, stack: Stack, shop: Shop) -> None:
    """Found among the calls, claimed, written down: the money for it goes back."""
    order_id, ticket = await short(shop, {shop.apple: 3, shop.milk: 1}, {shop.apple: 1})
    async with at_work(browser, stack, "customer_service:lee") as page:
        await page.goto(home(stack, "/tickets"))
        await page.locator("#calls").get_by_text(ticket["ticket_id"]).click()
        await page.get_by_role("button", name="I work on it").click()
        await expect(page.locator(".facts")).to_contain_text("You work on it")
        await page.get_by_label("Leave it out").check()
        await press(page, "Write it down")
        await expect(page.locator("#said")).to_contain_text("call written down")
    await shop.ticket(order_id, "shortage", "resolved")
    page_ = await shop.order(order_id)
    assert page_["refunded"] in (0, APPLE)
    await shop.fulfilment(order_id, "picking")


async def test_a_bad_apple_is_paid_back_once(browser: Browser, stack: Stack, shop: Shop) -> None:
    """Two people at the same order: the second is told, and the money goes back once, however often it is pressed."""
    order = await shop.paid({shop.apple: 2, shop.milk: 1})
    order_id = order["order_id"]
    async with (
        at_work(browser, stack, "customer_service:lee") as first,
        at_work(browser, stack, "customer_service:kim") as second,
    ):
        await shop.deliver(order_id)  # its window is short here
        await first.goto(home(stack, f"/orders/{order_id}"))
        await first.get_by_text("Something is wrong with the goods").click()
        await first.get_by_label(shop.apple, exact=False).first.fill("1")
        await first.get_by_label("What the customer says").fill("<b>brown</b> apple")
        await first.get_by_role("button", name="Open the ticket").dblclick()
        await expect(first.locator("h1")).to_contain_text("Refund")
        await expect(first.locator("blockquote").first).to_have_text("<b>brown</b> apple")
        await second.goto(first.url.partition("?")[0])
        await first.get_by_text("Approve", exact=True).first.click()
        await first.locator("form[action$=approve] button").dblclick()
        await expect(first.locator("#said")).to_contain_text("approved")
        await second.get_by_text("Approve", exact=True).first.click()
        await second.locator("form[action$=approve] button").click()
        await expect(second.locator("#said")).to_contain_text("changed since you opened it")

    async def back() -> bool:
        return bool((await shop.order(order_id))["refunded"] == APPLE)

    await until(back, "the money for the apple")
    tickets = (await stack.get("aftersales", f"/tickets?order={order_id}", "customer_service"))["items"]
    assert [ticket["refunded"] for ticket in tickets] == [APPLE]


async def test_an_order_page_follows_its_order(browser: Browser, stack: Stack, shop: Shop) -> None:
    """What happens elsewhere is there without a reload, and what may be done is no more offered blindly."""
    order = await shop.payable({shop.apple: 1})
    async with at_work(browser, stack, "customer_service:lee") as page:
        await page.goto(home(stack, f"/orders/{order['order_id']}"))
        await expect(page.locator("h1 .pill")).to_have_text("waits for payment")
        await expect(page.locator("#live")).to_have_text("live")
        good(await shop.pay(order))
        await expect(page.locator("h1 .pill")).to_have_text("waits for a picker")
        await expect(page.locator("#actions .moved")).to_be_visible()


async def test_an_order_is_found_by_keys_alone(browser: Browser, stack: Stack, shop: Shop) -> None:
    """`/` and its number; `g o` to the orders, `j` and Enter into one; `?` lists the keys."""
    order = await shop.payable({shop.apple: 1})
    async with at_work(browser, stack, "customer_service:lee") as page:
        await page.keyboard.press("/")
        await page.keyboard.type(order["order_id"])
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_contain_text(order["order_id"])
        await page.locator("main").focus()
        await page.keyboard.press("g")
        await page.keyboard.press("o")
        await page.wait_for_url("**/orders")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/orders/*")
        await page.locator("main").focus()
        await page.keyboard.press("?")
        await expect(page.locator("#help")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#help")).to_be_hidden()


async def test_the_overview_counts(browser: Browser, stack: Stack, shop: Shop) -> None:
    """On the chart of an order's life, within a moment of the order."""
    async with at_work(browser, stack, "risk_analyst:li") as page:
        await page.goto(home(stack, "/"))
        await shop.payable({shop.milk: 1})
        node = page.locator('.chart .node[data-phase="awaiting_payment"]')
        await expect(node).to_have_class("node busy")
        await expect(page.locator("#live")).to_have_text("live")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
async def test_pages_are_for_everybody(browser: Browser, stack: Stack, shop: Shop, theme: str, width: int) -> None:
    """Nothing serious by axe on any page, in both themes and at any width; no page is wider than its window."""
    order = await shop.paid({shop.apple: 2, shop.milk: 1})
    order_id = order["order_id"]
    await shop.begin(order_id)
    paths = (
        *("/", "/orders", f"/orders/{order_id}", "/orders/nobody", "/find?q=nothing", "/tickets", "/ops"),
        *(f"/pick?store={shop.store}", f"/pick/{order_id}", f"/print/pick/{order_id}"),
        *(f"/courier?store={shop.store}", f"/courier/{order_id}", "/sign-in", "/ops/parked/order"),
        *(f"/store?store={shop.store}", "/risk", "/risk/blocklist", "/risk/rules", "/marketing"),
    )
    async with at_work(browser, stack, "admin:jo", viewport={"width": width, "height": 900}, theme=theme) as page:
        for path in paths:
            await page.goto(home(stack, path))
            found = (await Axe().run(page)).response["violations"]
            told = [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found if v["impact"] in SERIOUS]
            assert told == [], path
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{path} is {wide} px wider than its window"


async def test_a_page_outlives_a_service(browser: Browser, stack: Stack, shop: Shop) -> None:
    """Logistics is killed under an open page: its card says so, the rest stands, and it comes back."""
    order = await shop.paid({shop.apple: 1, shop.milk: 1})
    async with at_work(browser, stack, "customer_service:lee") as page:
        pid = next(s["pid"] for s in (await stack.larder_json("status"))["services"] if s["name"] == "logistics")
        process = await asyncio.create_subprocess_exec("kill", "-9", str(pid))
        await process.wait()
        await page.goto(home(stack, f"/orders/{order['order_id']}"))
        await expect(page.locator("#money")).to_contain_text(f"{(APPLE + MILK) / 100:.2f}")

        async def whole() -> bool:
            await page.goto(home(stack, f"/orders/{order['order_id']}"))
            return await page.locator("#work .pill").count() == 1

        await until(whole, "logistics to be back")
