"""The nouns of both clients, side by side: each method of one is the same call as that of the other."""

from __future__ import annotations

from payloops.client.calls import accounts, checkout, dashboard, orders, processors, webhooks
from payloops.client.core.binding import AsyncResource, Does, Lists, Resource, WillDo, WillList


class Orders(Resource):
    """``client.orders``."""

    create = Does(orders.create)
    get = Does(orders.get)
    list = Lists(orders.list_orders)
    pay = Does(orders.pay)
    capture = Does(orders.capture)
    cancel = Does(orders.cancel)
    refund = Does(orders.refund)
    refunds = Does(orders.refunds)
    transactions = Does(orders.transactions)
    events = Lists(orders.events)


class AsyncOrders(AsyncResource):
    """``client.orders``."""

    create = WillDo(orders.create)
    get = WillDo(orders.get)
    list = WillList(orders.list_orders)
    pay = WillDo(orders.pay)
    capture = WillDo(orders.capture)
    cancel = WillDo(orders.cancel)
    refund = WillDo(orders.refund)
    refunds = WillDo(orders.refunds)
    transactions = WillDo(orders.transactions)
    events = WillList(orders.events)


class CheckoutSessions(Resource):
    """``client.checkout_sessions``."""

    create = Does(checkout.create)
    get = Does(checkout.get)
    expire = Does(checkout.expire)


class AsyncCheckoutSessions(AsyncResource):
    """``client.checkout_sessions``."""

    create = WillDo(checkout.create)
    get = WillDo(checkout.get)
    expire = WillDo(checkout.expire)


# ------------------------------------------------------------------------------------------------------- the dashboard


class Me(Resource):
    """``dashboard.me``: the merchant's profile."""

    get = Does(accounts.get_profile)
    update = Does(accounts.update_profile)
    rotate_webhook_secret = Does(webhooks.rotate_default_secret)


class AsyncMe(AsyncResource):
    """``dashboard.me``: the merchant's profile."""

    get = WillDo(accounts.get_profile)
    update = WillDo(accounts.update_profile)
    rotate_webhook_secret = WillDo(webhooks.rotate_default_secret)


class ApiKeys(Resource):
    """``dashboard.api_keys``."""

    list = Does(accounts.list_api_keys)
    create = Does(accounts.create_api_key)
    roll = Does(accounts.roll_api_key)
    revoke = Does(accounts.revoke_api_key)


class AsyncApiKeys(AsyncResource):
    """``dashboard.api_keys``."""

    list = WillDo(accounts.list_api_keys)
    create = WillDo(accounts.create_api_key)
    roll = WillDo(accounts.roll_api_key)
    revoke = WillDo(accounts.revoke_api_key)


class Processors(Resource):
    """``dashboard.processors``."""

    list = Does(processors.list_processors)
    configure_stripe = Does(processors.configure_stripe)
    configure_razorpay = Does(processors.configure_razorpay)
    change = Does(processors.change_processor)
    remove = Does(processors.remove_processor)


class AsyncProcessors(AsyncResource):
    """``dashboard.processors``."""

    list = WillDo(processors.list_processors)
    configure_stripe = WillDo(processors.configure_stripe)
    configure_razorpay = WillDo(processors.configure_razorpay)
    change = WillDo(processors.change_processor)
    remove = WillDo(processors.remove_processor)


class ProcessorEvents(Resource):
    """``dashboard.processor_events``: what processors sent."""

    list = Lists(processors.list_events)
    get = Does(processors.get_event)
    reprocess = Does(processors.reprocess_event)


class AsyncProcessorEvents(AsyncResource):
    """``dashboard.processor_events``: what processors sent."""

    list = WillList(processors.list_events)
    get = WillDo(processors.get_event)
    reprocess = WillDo(processors.reprocess_event)


class WebhookEndpoints(Resource):
    """``dashboard.webhook_endpoints``."""

    list = Does(webhooks.list_endpoints)
    create = Does(webhooks.create_endpoint)
    change = Does(webhooks.change_endpoint)
    remove = Does(webhooks.remove_endpoint)
    rotate_secret = Does(webhooks.rotate_secret)
    send_sample = Does(webhooks.send_sample)


class AsyncWebhookEndpoints(AsyncResource):
    """``dashboard.webhook_endpoints``."""

    list = WillDo(webhooks.list_endpoints)
    create = WillDo(webhooks.create_endpoint)
    change = WillDo(webhooks.change_endpoint)
    remove = WillDo(webhooks.remove_endpoint)
    rotate_secret = WillDo(webhooks.rotate_secret)
    send_sample = WillDo(webhooks.send_sample)


class WebhookDeliveries(Resource):
    """``dashboard.webhook_deliveries``."""

    list = Lists(webhooks.list_deliveries)
    attempts = Does(webhooks.list_attempts)
    retry = Does(webhooks.retry_delivery)
    retry_many = Does(webhooks.retry_deliveries)


class AsyncWebhookDeliveries(AsyncResource):
    """``dashboard.webhook_deliveries``."""

    list = WillList(webhooks.list_deliveries)
    attempts = WillDo(webhooks.list_attempts)
    retry = WillDo(webhooks.retry_delivery)
    retry_many = WillDo(webhooks.retry_deliveries)


class DashboardOrders(Resource):
    """``dashboard.orders``."""

    list = Lists(dashboard.list_orders)
    get = Does(dashboard.get_order)
    capture = Does(dashboard.capture)
    cancel = Does(dashboard.cancel)
    refund = Does(dashboard.refund)
    sync = Does(dashboard.sync)
    events = Lists(dashboard.events)
    timeline = Does(dashboard.timeline)


class AsyncDashboardOrders(AsyncResource):
    """``dashboard.orders``."""

    list = WillList(dashboard.list_orders)
    get = WillDo(dashboard.get_order)
    capture = WillDo(dashboard.capture)
    cancel = WillDo(dashboard.cancel)
    refund = WillDo(dashboard.refund)
    sync = WillDo(dashboard.sync)
    events = WillList(dashboard.events)
    timeline = WillDo(dashboard.timeline)
