-- What the dashboard asks of webhook endpoints and deliveries. Every query names the merchant.

-- name: endpoint_columns
-- With how its receiver fares: open_until is in the future while nothing is sent there (endpoint_health).
e.id, e.url, e.event_types, e.enabled, e.disabled_reason, e.is_default, e.created_at, e.updated_at,
CASE WHEN h.open_until > clock_timestamp() THEN h.open_until END

-- name: endpoints
SELECT {endpoint_columns}
FROM webhook_endpoints e
LEFT JOIN endpoint_health h ON h.endpoint_id = e.id AND h.endpoint_version = e.version
WHERE e.merchant_id = %(merchant)s AND e.removed_at IS NULL
ORDER BY e.created_at DESC, e.id DESC;

-- name: endpoint_turn
-- Held until the connection ends.
SELECT pg_advisory_lock(hashtextextended('payloops.webhook_endpoints', 0) # hashtextextended(%(merchant)s::text, 0));

-- name: endpoint_count
SELECT count(*) FROM webhook_endpoints WHERE merchant_id = %(merchant)s AND removed_at IS NULL;

-- name: open_until
-- Until when nothing is sent there, if that is so now.
SELECT h.open_until
FROM (SELECT id, merchant_id, version FROM webhook_endpoints WHERE id = %(endpoint)s LIMIT 1) AS e
JOIN endpoint_health h ON h.endpoint_id = e.id AND h.endpoint_version = e.version
WHERE e.merchant_id = %(merchant)s AND h.open_until > clock_timestamp();

-- name: delivery_columns
d.id, d.endpoint_id, d.url, d.order_id, d.event_type, d.status, d.attempts, d.last_attempt_at, d.next_retry_at,
d.delivered_at, d.created_at

-- name: deliveries_numbered
-- A page by its number, newest first, with the number of all.
WITH matching AS (
    SELECT id, created_at FROM webhook_deliveries WHERE merchant_id = %(merchant)s
), page AS (
    SELECT id FROM matching ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT n.total, {delivery_columns}
FROM (SELECT count(*) AS total FROM matching) AS n
LEFT JOIN (page JOIN webhook_deliveries d ON d.id = page.id) ON true
ORDER BY d.created_at DESC, d.id DESC;

-- name: deliveries_numbered_of_status
WITH matching AS (
    SELECT id, created_at FROM webhook_deliveries WHERE merchant_id = %(merchant)s AND status = %(status)s
), page AS (
    SELECT id FROM matching ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT n.total, {delivery_columns}
FROM (SELECT count(*) AS total FROM matching) AS n
LEFT JOIN (page JOIN webhook_deliveries d ON d.id = page.id) ON true
ORDER BY d.created_at DESC, d.id DESC;

-- name: deliveries_numbered_of_endpoint
WITH matching AS (
    SELECT id, created_at FROM webhook_deliveries
    WHERE endpoint_id = %(endpoint)s AND merchant_id = %(merchant)s
        AND (%(status)s::text IS NULL OR status = %(status)s)
), page AS (
    SELECT id FROM matching ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT n.total, {delivery_columns}
FROM (SELECT count(*) AS total FROM matching) AS n
LEFT JOIN (page JOIN webhook_deliveries d ON d.id = page.id) ON true
ORDER BY d.created_at DESC, d.id DESC;

-- name: deliveries_numbered_of_order
WITH matching AS (
    SELECT id, created_at FROM webhook_deliveries
    WHERE order_id = %(order)s AND merchant_id = %(merchant)s
        AND (%(endpoint)s::uuid IS NULL OR endpoint_id = %(endpoint)s)
        AND (%(status)s::text IS NULL OR status = %(status)s)
), page AS (
    SELECT id FROM matching ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT n.total, {delivery_columns}
FROM (SELECT count(*) AS total FROM matching) AS n
LEFT JOIN (page JOIN webhook_deliveries d ON d.id = page.id) ON true
ORDER BY d.created_at DESC, d.id DESC;

-- name: delivery_target
-- Where a delivery goes: is its endpoint still there and enabled?
SELECT e.enabled, e.removed_at IS NOT NULL
FROM (SELECT merchant_id, endpoint_id FROM webhook_deliveries WHERE id = %(delivery)s LIMIT 1) AS d
JOIN webhook_endpoints e ON e.id = d.endpoint_id
WHERE d.merchant_id = %(merchant)s;

-- name: attempts
-- Newest first. The first column says that the delivery is there.
SELECT d.id, a.number, a.started_at, a.duration_ms, a.status_code, a.error, a.response_body
FROM (SELECT id, merchant_id FROM webhook_deliveries WHERE id = %(delivery)s LIMIT 1) AS d
LEFT JOIN webhook_attempts a ON a.delivery_id = d.id
WHERE d.merchant_id = %(merchant)s
ORDER BY a.number DESC
LIMIT %(limit)s;

-- name: retryable
-- The oldest deliveries of events of a time that have this status and an endpoint that can be sent to. What has changed
-- since the end of that time is left out: so who goes on where a call ended never meets the same delivery twice.
SELECT d.id
FROM webhook_deliveries d
WHERE d.merchant_id = %(merchant)s AND d.status = %(status)s
    AND d.created_at >= %(from)s AND d.created_at < %(to)s AND d.updated_at < %(to)s
    AND (%(endpoint)s::uuid IS NULL OR d.endpoint_id = %(endpoint)s)
    AND EXISTS (
        SELECT FROM webhook_endpoints e WHERE e.id = d.endpoint_id AND e.enabled AND e.removed_at IS NULL)
ORDER BY d.created_at, d.id
LIMIT %(limit)s;

-- name: without_default_endpoint
-- Merchants whose webhookUrl is older than webhook endpoints are: no endpoint tells them. In order of their ids.
SELECT m.id
FROM merchants m
WHERE m.webhook_url IS NOT NULL AND m.id > %(after)s
    AND NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.merchant_id = m.id AND e.is_default)
ORDER BY m.id
LIMIT %(limit)s;
