"""The sandbox as a whole: two HTTP servers over one state."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from payloops.errors import ConfigurationError
from payloops.sandbox.agenda import Agenda
from payloops.sandbox.browser_scripts import add_script
from payloops.sandbox.control import Control
from payloops.sandbox.courier import RETRY_DELAYS_S, Courier
from payloops.sandbox.engine import Engine
from payloops.sandbox.faults import HOLD_S, FaultGate
from payloops.sandbox.pages import Pages
from payloops.sandbox.razorpay import dialect as razorpay_dialect
from payloops.sandbox.razorpay import payments as razorpay_payments
from payloops.sandbox.razorpay.events import webhook_headers as razorpay_headers
from payloops.sandbox.shell import BODY_BYTES_MAX, Dialect, Operation, Shell
from payloops.sandbox.store import Store
from payloops.sandbox.stripe import dialect as stripe_dialect
from payloops.sandbox.stripe import payments as stripe_payments
from payloops.sandbox.stripe import refunds as stripe_refunds
from payloops.sandbox.stripe.events import webhook_headers as stripe_headers
from payloops.sandbox.wire import Reply
from payloops.values import Clock

SETTLE_DELAY_S: Final = 1.0
"""How long a processor takes for what it does by itself: pending refunds, disputes, bank debits."""
_SHUTDOWN_S: Final = 0.5
_ANYWHERE: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not bound to


class Sandbox:
    """A running simulator. ``stripe_url`` and ``razorpay_url`` are the base URLs once it is started."""

    def __init__(
        self,
        state_path: Path | None,
        clock: Clock,
        *,
        settle_delay_s: float,
        retry_delays_s: Sequence[float],
        hold_s: float,
        seed: int,
        public_url: str | None,
    ) -> None:
        self._state_path = state_path
        self._clock = clock
        self._settle_delay_s = settle_delay_s
        self._retry_delays_s = retry_delays_s
        self._hold_s = hold_s
        self._seed = seed
        self._public_url = public_url
        self._runners: list[web.AppRunner] = []
        self._store: Store | None = None
        self._gate: FaultGate | None = None
        self._courier: Courier | None = None
        self._agenda: Agenda | None = None
        self.stripe_url = ""
        self.razorpay_url = ""

    async def start(self, host: str = "127.0.0.1", stripe_port: int = 0, razorpay_port: int = 0) -> None:
        """Open the state and listen; port 0 takes a free one.

        :raises ConfigurationError: the state is in use or unreadable, or a port is taken.
        """
        self._store = Store(self._state_path)
        engine = Engine(self._store, self._clock, settle_delay_s=self._settle_delay_s, seed=self._seed)
        _register_actions(engine)
        self._gate = gate = FaultGate(self._store, hold_s=self._hold_s)
        self._courier = engine.courier = Courier(
            engine, {"stripe": stripe_headers, "razorpay": razorpay_headers}, retry_delays_s=self._retry_delays_s
        )
        self._agenda = engine.agenda = Agenda(engine)
        try:
            self.stripe_url = await self._listen(
                _app(
                    engine,
                    gate,
                    stripe_dialect.StripeDialect(),
                    stripe_dialect.OPERATIONS,
                    stripe_dialect.unknown_route,
                ),
                host,
                stripe_port,
            )
            self.razorpay_url = await self._listen(
                _app(
                    engine,
                    gate,
                    razorpay_dialect.RazorpayDialect(),
                    razorpay_dialect.OPERATIONS,
                    razorpay_dialect.unknown_route,
                ),
                host,
                razorpay_port,
            )
        except BaseException:
            await self.stop()
            raise
        engine.page_url = self._public_url or self.stripe_url
        self._courier.start()
        self._agenda.start()

    async def stop(self) -> None:
        """Close the servers and the state; held calls are dropped. May be called twice."""
        if self._gate is not None:
            self._gate.close()
        # Together: whoever started this gives it little more than one such time.
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        self._runners.clear()
        if self._agenda is not None:
            await self._agenda.stop()
        if self._courier is not None:
            await self._courier.stop()
        if self._store is not None:
            self._store.close()
        self._gate, self._agenda, self._courier, self._store = None, None, None, None

    async def _listen(self, app: web.Application, host: str, port: int) -> str:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
        self._runners.append(runner)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            what = "is taken" if error.errno == errno.EADDRINUSE else f"can't be used ({error.strerror})"
            raise ConfigurationError(f"the sandbox's port {port} on {host} {what}: set SANDBOX_PORT") from error
        bound = runner.addresses[0]
        shown = "127.0.0.1" if host in _ANYWHERE else f"[{host}]" if ":" in host else host
        return f"http://{shown}:{bound[1]}"


def _app(
    engine: Engine,
    gate: FaultGate,
    dialect: Dialect,
    operations: Sequence[Operation],
    unknown_route: Callable[[web.Request], Reply],
) -> web.Application:
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    shell = Shell(engine, gate, dialect)
    for operation in operations:
        app.router.add_route(operation.method, operation.path, shell.handler(operation))
    Control(engine).add_routes(app)
    Pages(engine).add_routes(app)
    add_script(app, dialect.processor)

    async def not_found(request: web.Request) -> web.Response:
        reply = unknown_route(request)
        return web.Response(status=reply.status, body=reply.body, content_type="application/json")

    app.router.add_route("*", "/{path:.*}", not_found)
    return app


def _register_actions(engine: Engine) -> None:
    engine.actions |= {
        stripe_payments.ACTION_SETTLE: lambda work, charge: stripe_payments.settle(work, charge, fails=False),
        stripe_payments.ACTION_SETTLE_FAILS: lambda work, charge: stripe_payments.settle(work, charge, fails=True),
        stripe_payments.ACTION_DISPUTE: stripe_refunds.charge_disputed,
        stripe_refunds.ACTION_SUCCEEDS: stripe_refunds.refund_succeeds,
        stripe_refunds.ACTION_FAILS: stripe_refunds.refund_fails,
        razorpay_payments.ACTION_REFUND_PROCESSED: razorpay_payments.refund_processed,
        razorpay_payments.ACTION_REFUND_FAILED: razorpay_payments.refund_failed,
        razorpay_payments.ACTION_DISPUTE: razorpay_payments.payment_disputed,
    }


def build_sandbox(
    state_path: Path | None,
    clock: Clock,
    *,
    settle_delay_s: float = SETTLE_DELAY_S,
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
    hold_s: float = HOLD_S,
    seed: int = 0,
    public_url: str | None = None,
) -> Sandbox:
    """A simulator, not yet started.

    :param state_path: the file that holds the state; None forgets everything on stop.
    :param settle_delay_s: how long the processor takes for what it does by itself.
    :param retry_delays_s: the pauses between attempts to deliver a webhook.
    :param hold_s: how long a call with the fault ``timeout_*`` is held open.
    :param seed: makes the courier's bad manners repeatable.
    :param public_url: where browsers reach the Stripe port, when that is not where it listens.
    """
    return Sandbox(
        state_path,
        clock,
        settle_delay_s=settle_delay_s,
        retry_delays_s=retry_delays_s,
        hold_s=hold_s,
        seed=seed,
        public_url=public_url,
    )
