-- Endpoints as deliveries need them. Parameters are named; times are the database's.

-- name: for_delivery
-- The endpoint, how it fares, and whether a delivery of the same order to it goes before this one.
SELECT e.url, e.enabled AND e.removed_at IS NULL, e.version, e.secret,
    CASE WHEN e.previous_expires_at > now() THEN e.previous_secret END,
    coalesce(h.consecutive_failures, 0),
    h.open_until IS NOT NULL,
    extract(epoch FROM h.open_until - now())::float8,
    EXISTS (
        SELECT FROM webhook_deliveries d
        WHERE d.order_id = %(order_id)s AND d.endpoint_id = e.id AND d.sequence < %(sequence)s
            AND d.status NOT IN ('delivered', 'failed'))
FROM webhook_endpoints e
LEFT JOIN endpoint_health h ON h.endpoint_id = e.id AND h.endpoint_version = e.version
WHERE e.id = %(endpoint_id)s AND e.merchant_id = %(merchant_id)s;

-- name: wanting
-- Those that are told of anything now. Which types they want is for the caller to compare.
SELECT id, url, event_types
FROM webhook_endpoints
WHERE merchant_id = %(merchant_id)s AND removed_at IS NULL AND enabled
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s;

-- name: signing
-- The endpoint of that address, else the default one, else the newest: whose secret signs for an external worker.
SELECT e.id, e.url, e.enabled, e.secret, CASE WHEN e.previous_expires_at > now() THEN e.previous_secret END
FROM webhook_endpoints e
WHERE e.merchant_id = %(merchant_id)s AND e.removed_at IS NULL
ORDER BY e.url = %(url)s DESC, e.enabled DESC, e.is_default DESC, e.created_at DESC, e.id DESC
LIMIT 1;

-- name: default
-- The one that is the merchant's webhookUrl, else the newest that is enabled.
SELECT e.id, e.url, e.secret
FROM webhook_endpoints e
WHERE e.merchant_id = %(merchant_id)s AND e.removed_at IS NULL AND e.enabled
ORDER BY e.is_default DESC, e.created_at DESC, e.id DESC
LIMIT 1;
