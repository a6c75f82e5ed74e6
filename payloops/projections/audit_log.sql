-- The audit trail of a merchant: audit_entries says where in the log to look.

-- name: advance
SELECT index_audit(%s, %s), (SELECT position FROM log_head);

-- name: page
-- Newest first, before a position. Times grow with positions, so the bounds of time are bounds of positions.
SELECT s.notification_id, s.originator_id, s.originator_version, s.topic, s.state, s.recorded_at
FROM (
    SELECT a.position FROM audit_entries a
    WHERE {filters}
    ORDER BY a.position DESC
    LIMIT %(limit)s
) p
JOIN stored_events s ON s.notification_id = p.position
ORDER BY s.notification_id DESC;

-- name: merchant
a.merchant_id = %(merchant)s AND a.position < %(before)s

-- name: type
a.type = %(type)s

-- name: actor
a.actor = %(actor)s

-- name: order_id
a.order_id = %(order_id)s

-- name: correlation_id
a.correlation_id = %(correlation_id)s

-- name: recorded_from
a.position >= (
    SELECT f.position FROM audit_entries f
    WHERE f.merchant_id = %(merchant)s AND f.recorded_at >= %(recorded_from)s
    ORDER BY f.recorded_at, f.position LIMIT 1)

-- name: recorded_to
a.position <= (
    SELECT t.position FROM audit_entries t
    WHERE t.merchant_id = %(merchant)s AND t.recorded_at < %(recorded_to)s
    ORDER BY t.recorded_at DESC, t.position DESC LIMIT 1)
