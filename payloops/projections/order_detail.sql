-- All that a support person sees of one order. Every part names the merchant.

-- name: order_detail
-- One row: the order's own columns, its events for what no table has, and lists as the wire has them, newest first, each
-- with one more than is shown. One statement, so that all is of one moment. OFFSET 0 keeps the planner from walking all
-- that the merchant has for the sake of its order.
SELECT {order_columns}, v.topics, v.states, r.list, t.list, d.list
FROM (SELECT * FROM orders WHERE id = %(order)s LIMIT 1) o
CROSS JOIN LATERAL (
    SELECT array_agg(s.topic ORDER BY s.originator_version) AS topics,
        array_agg(s.state ORDER BY s.originator_version) AS states
    FROM stored_events s
    WHERE s.originator_id = o.id
) v
CROSS JOIN LATERAL (
    SELECT json_agg(json_build_object(
        'refundId', l.id, 'orderId', l.order_id, 'amount', l.amount, 'status', l.status, 'reason', l.reason,
        'processorRefundId', l.processor_refund_id, 'errorCode', l.error_code, 'errorMessage', l.error_message,
        'outcomeUnknown', l.outcome_unknown, 'createdAt', {l.created_at}, 'updatedAt', {l.updated_at}))::text AS list
    FROM (
        SELECT * FROM refunds WHERE order_id = o.id AND merchant_id = %(merchant)s
        ORDER BY version DESC, id DESC LIMIT %(limit)s
    ) l
) r
CROSS JOIN LATERAL (
    SELECT json_agg(json_build_object(
        'id', l.id, 'orderId', l.order_id, 'type', l.type, 'amount', l.amount, 'status', l.status,
        'processorTransactionId', l.processor_transaction_id, 'errorCode', l.error_code,
        'errorMessage', l.error_message, 'createdAt', {l.created_at}))::text AS list
    FROM (
        SELECT * FROM transactions WHERE order_id = o.id AND merchant_id = %(merchant)s
        ORDER BY version DESC, id DESC LIMIT %(limit)s
    ) l
) t
CROSS JOIN LATERAL (
    SELECT json_agg(json_build_object(
        'id', l.id, 'endpointId', l.endpoint_id, 'url', l.url, 'orderId', l.order_id, 'eventType', l.event_type,
        'status', l.status, 'attempts', l.attempts, 'lastAttemptAt', {l.last_attempt_at},
        'nextRetryAt', {l.next_retry_at}, 'deliveredAt', {l.delivered_at}, 'createdAt', {l.created_at}))::text AS list
    FROM (
        SELECT * FROM (SELECT * FROM webhook_deliveries WHERE order_id = o.id OFFSET 0) w
        WHERE w.merchant_id = %(merchant)s
        ORDER BY w.created_at DESC, w.sequence DESC, w.id DESC LIMIT %(deliveries)s
    ) l
) d
WHERE o.merchant_id = %(merchant)s;

-- name: next_ask
-- When the first of these workflows wakes, in the embedded engine: Temporal keeps its timers itself, and is asked where
-- this finds nothing. The lane of a wake ends with the merchant's id, as that of every row of a payment's workflow.
SELECT min(w.due_at) FROM outbox w
WHERE w.key = ANY (%(workflows)s::text[]) AND w.kind = 'wake' AND w.parked_at IS NULL
    AND w.lane LIKE '%%:' || %(merchant)s::text;
