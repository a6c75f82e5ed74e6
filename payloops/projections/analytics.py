"""What the dashboard reads beyond single orders, in one place."""

from __future__ import annotations

from payloops.db import Database
from payloops.events.store.watch import Watch
from payloops.projections.audit_log import AuditLog
from payloops.projections.order_detail import OrderDetails
from payloops.projections.order_export import OrderExports
from payloops.projections.order_lists import OrderLists
from payloops.projections.personal_data import PersonalData
from payloops.projections.public_feed import PublicFeed
from payloops.projections.stats import StatsViews
from payloops.projections.timeline import Timelines


class Analytics:
    """The read models of the dashboard over one database."""

    def __init__(self, database: Database, personal: PersonalData, watch: Watch) -> None:
        self.stats = StatsViews(database)
        self.exports = OrderExports(database)
        self.order_lists = OrderLists(database)
        self.order_details = OrderDetails(database)
        self.timelines = Timelines(database)
        self.audit = AuditLog(database)
        self.feed = PublicFeed(database, personal, watch)

    async def close(self) -> None:
        """Stop what runs in the background."""
        await self.feed.close()
