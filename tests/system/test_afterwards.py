"""After everything that was done to the stack: its books must be in order."""

from tests.system.driver import Stack


async def test_nothing_is_parked(stack: Stack) -> None:
    """Every record that parked was one of ours, and was dropped."""
    assert await stack.larder_json("parked", "list") == []


async def test_all_services_live(stack: Stack) -> None:
    """Nothing that was sent has brought one down."""
    assert await stack.ready()
    logs = {path.name: path.read_text(errors="replace") for path in (stack.home / "logs").glob("*.log")}
    assert "Traceback" not in "".join(logs[f"{name}.log"] for name in ("order", "inventory", "risk", "payment"))


async def test_the_audit_is_clean(stack: Stack) -> None:
    """Stock, money, phases and links add up over all that happened."""
    told = await stack.larder("audit", "--json")
    assert told.status == 0, told.out + told.err
