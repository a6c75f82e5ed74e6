-- An order's story beside its own events. Each names the merchant.

-- name: order_events
SELECT s.originator_version, s.topic, s.state
FROM (SELECT id, merchant_id FROM orders WHERE id = %(order)s LIMIT 1) o
LEFT JOIN LATERAL (
    SELECT e.originator_version, e.topic, e.state FROM stored_events e
    WHERE e.originator_id = o.id ORDER BY e.originator_version DESC LIMIT %(limit)s
) s ON true
WHERE o.merchant_id = %(merchant)s
ORDER BY s.originator_version;

-- name: inbound
-- What processors told of it; the first event of each says under which correlation id it came.
SELECT p.received_at, p.id, p.processor, p.processor_event_id, p.type, p.status, p.reason, p.processed_at,
    convert_from(s.state, 'UTF8')::json -> 'meta' ->> 'correlation_id'
FROM (
    SELECT * FROM processor_events r
    WHERE r.merchant_id = %(merchant)s AND r.order_id = %(order)s
    ORDER BY r.received_at DESC, r.id DESC LIMIT %(limit)s
) p
JOIN stored_events s ON s.originator_id = p.id AND s.originator_version = 1;

-- name: deliveries
SELECT d.created_at, d.id, d.endpoint_id, d.url, d.event_type, d.sequence, d.status, d.attempts, d.delivered_at,
    p.correlation_id
FROM (
    SELECT * FROM webhook_deliveries w
    WHERE w.order_id = %(order)s AND w.merchant_id = %(merchant)s
    ORDER BY w.created_at DESC, w.sequence DESC, w.id DESC LIMIT %(limit)s
) d
LEFT JOIN public_events p ON p.id = d.event_id;

-- name: attempts
SELECT a.started_at, a.delivery_id, a.number, a.duration_ms, a.status_code, a.error
FROM webhook_attempts a
WHERE a.delivery_id = ANY (%(deliveries)s::uuid[])
ORDER BY a.started_at DESC, a.number DESC
LIMIT %(limit)s;
