"""What the HTTP sides of all six services share. A service's api.py is routes and nothing else:

    Buyer = Annotated[Asked, Depends(asking(Role.CUSTOMER))]
    Reader = Annotated[Caller, Depends(require(Role.CUSTOMER, Role.CUSTOMER_SERVICE))]

    register({"order_not_payable": (409, "The order cannot be paid now")})


    def routes(desk: CommandDesk, rests: RestWatcher, bell: Bell, orders: Orders, not_behind: Dependency) -> APIRouter:
        router = APIRouter(tags=["orders"])

        @router.post("/orders", status_code=202, dependencies=[Depends(not_behind)])
        async def place(basket: Basket, asked: Buyer, response: Response) -> OrderPage:
            order_id = order_id_for(asked.command_id)
            await desk.send(PlaceOrder(order_id=order_id, account=asked.caller.account, ...), asked)  # refused: raises
            await rests.wait(order_id, asked.wait_s)
            response.headers["Location"] = f"/orders/{order_id}"
            return await orders.page(order_id)

        @router.get("/orders/{order_id}")
        async def read(order_id: Name, caller: Reader) -> OrderPage:
            page = await orders.page(order_id)
            if page is None:
                raise refusal("order_unknown")
            caller.must_see(page.account)
            return page

        @router.get("/orders")
        async def some(caller: Reader, paging: Paged) -> Page[OrderRow]:
            rows = await orders.some(caller.account, *paging.after(datetime, str), paging.fetch)
            return paging.page(rows, last=lambda row: (row["at"], row["id"]), item=order_row)

        return router

and its main.py puts them together, and has the worker hint after each commit:

    app = make_app("order", "Larder: orders", "...", routers=[routes(...)], ready=worker.why_not_ready)
    not_behind = refuse_when_behind(worker.lag, settings.lag_bound)

    def committed(commands: Collection[str], subjects: Collection[str]) -> None:
        desk.hint(commands)
        rests.hint(subjects)
        bell.ring(subjects)

Reading order: `body` (the door), `problems` (errors), `auth`, `asked` and `commands` (a POST), `waiting`, `paging`,
`sse`, `health`, `app`.
"""
