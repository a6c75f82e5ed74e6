"""Lists, searches and expansions, the same for every Stripe object."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from payloops.sandbox.engine import EVENT, Work
from payloops.sandbox.parameters import Parameters
from payloops.sandbox.store import Page, StoredDocument
from payloops.sandbox.stripe.errors import invalid, malformed, no_such
from payloops.sandbox.stripe.payments import CHARGE, INTENT, METHOD
from payloops.sandbox.stripe.refunds import REFUND
from payloops.sandbox.wire import Document, Reply, json_reply

LIST_PARAMETERS: Final = ("limit", "starting_after", "ending_before", "created", "expand")
_LIMIT_DEFAULT: Final = 10
_LIMIT_MAX: Final = 100
_EXPAND_DEPTH_MAX: Final = 4
_SEARCH_SCAN_MAX: Final = 10_000

# Which kind of object stands behind an expandable field.
_EXPANDABLE: Final = {
    "latest_charge": CHARGE,
    "charge": CHARGE,
    "payment_intent": INTENT,
    "payment_method": METHOD,
}
# Fields whose id is no object of ours, or is published whole.
_NEVER_SET: Final = frozenset({"customer", "balance_transaction", "review", "application", "on_behalf_of", "transfer"})

_CLAUSE: Final = re.compile(
    r"""\s*(?P<field>[a-z_]+)(?:\[(?P<q>["'])(?P<name>[^"']{1,40})(?P=q)\])?\s*(?P<op>:|=|>=|<=|>|<)\s*"""
    r"""(?:(?P<v>["'])(?P<text>(?:\\.|(?!(?P=v)).)*)(?P=v)|(?P<number>[0-9]{1,19}))\s*"""
)


def check_known(parameters: Parameters, allowed: Sequence[str]) -> None:
    """Refuse parameters that the endpoint does not know, as Stripe does."""
    for name in parameters.unknown(allowed):
        raise invalid(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")


def page_of(work: Work, parameters: Parameters, kind: str) -> Page:
    """The page that ``limit``, the cursors and ``created`` ask for, with one more document than is shown."""
    limit = parameters.integer("limit", low=1, high=_LIMIT_MAX) or _LIMIT_DEFAULT
    after, before = parameters.text("starting_after"), parameters.text("ending_before")
    if after and before:
        raise invalid("Use either starting_after or ending_before, not both.", param="ending_before")
    bounds: dict[str, int] = {}
    if after:
        bounds["below"] = _cursor(work, kind, after, "starting_after")
    if before:
        bounds["above"] = _cursor(work, kind, before, "ending_before")
    return Page(limit=limit + 1, upwards=bool(before), **bounds, **_created(parameters))


def _cursor(work: Work, kind: str, document_id: str, param: str) -> int:
    found = work.find(kind, document_id)
    if found is None:
        raise no_such(kind, document_id, param)
    return found.seq


def _created(parameters: Parameters) -> dict[str, int]:
    if "created" not in parameters:
        return {}
    if not isinstance(parameters.raw("created"), dict):
        moment = parameters.integer("created")
        return {"created_from_s": moment, "created_to_s": moment} if moment is not None else {}
    window = parameters.nested("created")
    found = {}
    for name, bound, step in (
        ("gte", "created_from_s", 0),
        ("gt", "created_from_s", 1),
        ("lte", "created_to_s", 0),
        ("lt", "created_to_s", -1),
    ):
        moment = window.integer(name)
        if moment is not None:
            found[bound] = moment + step
    return found


def list_reply(work: Work, parameters: Parameters, url: str, page: Page, found: list[StoredDocument]) -> Reply:
    """Stripe's list object; ``found`` may hold one more than the page shows."""
    has_more = len(found) >= page.limit
    if has_more:
        found = found[1:] if page.upwards else found[: page.limit - 1]
    # Expanding works on copies: the stored objects keep their ids.
    documents = [dict(document.body) for document in found]
    for path in parameters.texts("expand"):
        head, _, rest = path.partition(".")
        if head != "data" or not rest:
            raise _not_expandable(path)
        for document in documents:
            _expand(work, document, rest.split("."), path)
    return json_reply(200, {"object": "list", "data": documents, "has_more": has_more, "url": url})


def object_reply(work: Work, parameters: Parameters, document: Document, status: int = 200) -> Reply:
    """One object, with the fields expanded that ``expand[]`` names."""
    paths = parameters.texts("expand")
    if not paths:
        return json_reply(status, document)
    shown = dict(document)
    for path in paths:
        _expand(work, shown, path.split("."), path)
    return json_reply(status, shown)


def _expand(work: Work, document: Document, path: list[str], whole: str) -> None:
    name, rest = path[0], path[1:]
    if len(path) > _EXPAND_DEPTH_MAX:
        raise _not_expandable(whole)
    if name == "refunds" and document.get("object") == CHARGE:
        refunds = work.documents(REFUND, Page(limit=_LIMIT_DEFAULT), parent=document["payment_intent"])
        data = [refund.body for refund in refunds if refund.body["charge"] == document["id"]]
        url = f"/v1/charges/{document['id']}/refunds"
        document[name] = {"object": "list", "data": data, "has_more": False, "url": url}
        return
    if name not in document or (name not in _EXPANDABLE and name not in _NEVER_SET):
        raise _not_expandable(whole)
    value = document[name]
    if isinstance(value, str):
        found = work.find(_EXPANDABLE[name], value)
        value = dict(found.body) if found else None
        document[name] = value
    if rest and isinstance(value, dict):
        _expand(work, value, rest, whole)


def _not_expandable(path: str) -> Exception:
    return invalid(f"This property cannot be expanded ({path}).", param="expand", code="property_not_expandable")


def search_intents(work: Work, parameters: Parameters) -> Reply:
    """Search in Stripe's query language, clauses joined by AND: ``metadata['order_id']:'…' AND status:'succeeded'``.

    Unlike the real index, which lags by up to a minute, this one is always up to date.
    """
    check_known(parameters, ("query", "limit", "page", "expand"))
    query = parameters.text("query")
    if query is None:
        raise invalid("Missing required param: query.", param="query", code="parameter_missing")
    limit = parameters.integer("limit", low=1, high=_LIMIT_MAX) or _LIMIT_DEFAULT
    skip = int(parameters.text("page") or 0) if (parameters.text("page") or "0").isdigit() else 0
    clauses = _clauses(query)
    label = next(((name, text) for field, name, op, text in clauses if field == "metadata" and op == ":"), None)
    if label is not None:
        found = work.labelled(INTENT, label[0], label[1], _SEARCH_SCAN_MAX)
    else:
        found = work.documents(INTENT, Page(limit=_SEARCH_SCAN_MAX))
    matching = [dict(intent.body) for intent in found if all(_matches(intent.body, *clause) for clause in clauses)]
    shown = matching[skip : skip + limit]
    for path in parameters.texts("expand"):
        for document in shown:
            _expand(work, document, path.removeprefix("data.").split("."), path)
    has_more = len(matching) > skip + limit
    result: Document = {
        "object": "search_result",
        "data": shown,
        "has_more": has_more,
        "next_page": str(skip + limit) if has_more else None,
        "url": "/v1/payment_intents/search",
    }
    return json_reply(200, result)


Clause = tuple[str, str, str, str]


def _clauses(query: str) -> list[Clause]:
    """(field, metadata key, operator, value) of each clause."""
    clauses: list[Clause] = []
    position = 0
    while position < len(query):
        match = _CLAUSE.match(query, position)
        if match is None:
            raise malformed("query", f"the search query can't be read at position {position}")
        text = match["number"] if match["text"] is None else re.sub(r"\\(.)", r"\1", match["text"])
        clauses.append((match["field"], match["name"] or "", match["op"].replace("=:", ":"), text))
        position = match.end()
        if position < len(query):
            if not query[position : position + 4].upper().startswith("AND"):
                raise malformed("query", "only AND joins clauses")
            position += len("AND")
    return clauses


_COMPARE: Final[dict[str, Callable[[int, int], bool]]] = {
    ":": lambda left, right: left == right,
    "=": lambda left, right: left == right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
}


def _matches(document: Document, field: str, name: str, op: str, text: str) -> bool:
    if field == "metadata" and op == ":":
        return bool(document["metadata"].get(name) == text)
    if field in {"status", "currency", "customer"} and op == ":":
        return bool(document[field] == text.lower())
    if field in {"amount", "created"} and text.isdigit():
        return _COMPARE[op](document[field], int(text))
    raise invalid(f"Field `{field}` can't be searched with `{op}`.", param="query")


def event_types(parameters: Parameters) -> list[str]:
    """The event types that a list of events is limited to; none means all."""
    single = parameters.text("type")
    return [single] if single else parameters.texts("types")


def list_events(work: Work, parameters: Parameters) -> Reply:
    """Events newest first, limited by ``type`` or ``types[]``."""
    check_known(parameters, (*LIST_PARAMETERS, "type", "types", "delivery_success"))
    page = page_of(work, parameters, EVENT)
    types = event_types(parameters)
    if not types:
        found = work.documents(EVENT, page)
    else:
        found = [event for name in types for event in work.documents(EVENT, page, parent=name)]
        found.sort(key=lambda event: event.seq, reverse=not page.upwards)
        found = found[: page.limit]
        found.sort(key=lambda event: event.seq, reverse=True)
    for event in found:
        event.body["pending_webhooks"] = work.pending_deliveries_of(event.id)
    return list_reply(work, parameters, "/v1/events", page, found)
