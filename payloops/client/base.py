"""What the four clients have in common: options, and what stands for them in a log."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Final, Self

from payloops.client.core.exchange import Setup
from payloops.client.core.retries import Retries

DEFAULT_RETRIES: Final = Retries()
DEFAULT_TIMEOUT_S: Final = 30.0
AUTHORIZATION: Final = "Authorization"
_BEARER: Final = "Bearer "


class BaseClient(ABC):
    """A client; what it is set up with may hold a credential, so nothing shows it."""

    def __init__(self, setup: Setup, *, owns_http: bool) -> None:
        self._setup = setup
        self._owns_http = owns_http
        self._bind()

    @abstractmethod
    def _bind(self) -> None:
        """Make the nouns."""

    @property
    def client(self) -> Self:
        """Itself: what its own methods run their calls on."""
        return self

    def setup(self) -> Setup:
        """What its requests are made with; it holds the credential."""
        return self._setup

    def with_options(
        self,
        *,
        timeout_s: float | None = None,
        retries: Retries | None = None,
        correlation_id: str | None = None,
    ) -> Self:
        """A client with other options over the same connections: ``client.with_options(timeout_s=5).orders.get(…)``."""
        setup = replace(
            self._setup,
            timeout_s=self._setup.timeout_s if timeout_s is None else timeout_s,
            retries=retries or self._setup.retries,
            correlation_id=self._setup.correlation_id if correlation_id is None else correlation_id,
        )
        other = copy.copy(self)
        vars(other).update(_setup=setup, _owns_http=False)
        other._bind()  # noqa: SLF001 - one of the same class
        return other

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._setup.base_url!r})"


class BaseDashboard(BaseClient):
    """A client by token."""

    @property
    def token(self) -> str:
        """To keep, and to make a client of later."""
        return self._setup.credential[AUTHORIZATION].removeprefix(_BEARER)

    def use_token(self, token: str) -> None:
        """Go on with another token."""
        self._setup = replace(self._setup, credential=bearer(token))


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {AUTHORIZATION: f"{_BEARER}{token}"}
