async def test_x(database):
    async with database.connection() as c:
        print(await (await c.execute("select count(*) from stored_events")).fetchone())
async def test_y(database):
    pass
async def test_z(database):
    pass
