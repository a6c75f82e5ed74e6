"""Which of the dashboard's tokens hold. Asked for every request of the dashboard, so that revoking counts at once."""

from __future__ import annotations

from typing import Final

from payloops.crypto import Claims
from payloops.db import Database, load_sql
from payloops.projections.reading import change, fetch

_SQL: Final = load_sql("payloops.projections", "tokens")


class Tokens:
    """The tokens of all merchants, as the database knows them. All methods raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hold(self, claims: Claims) -> bool:
        """Whether a token whose signature was verified holds: not revoked, nor expired by the database's clock."""
        parameters = {
            "merchant": claims.merchant_id,
            "version": claims.token_version,
            "token": claims.token_id,
            "expires_at": claims.expires_at,
        }
        ((holds,),) = await fetch(self._database, _SQL["token_holds"], parameters)
        return bool(holds)

    async def revoke(self, claims: Claims) -> None:
        """Refuse this one token from now on, on every process; twice is once."""
        parameters = {"token": claims.token_id, "expires_at": claims.expires_at}
        await change(self._database, _SQL["revoke_token"], parameters)
