-- Queries of the API. Every one names the merchant, and proves the API key that asks (key; null for a dashboard user) in
-- its own statement: holds is false for a key that is unknown, revoked or expired. A key sees the orders of its own mode:
-- test_mode is the key's, null for a dashboard user, who sees both.
--
-- One row by its id stands in a subquery with LIMIT 1, its merchant is compared outside: so the primary key is the only
-- way to it. Side by side, a planner with young statistics may walk all that the merchant has.

-- name: order_columns
-- What order_wire.READ_COLUMNS names, as the wire has it: ids and JSON as text, times in ISO 8601.
o.id::text, o.version, o.external_id, o.amount, o.currency, o.status, o.amount_captured, o.amount_refunded,
o.processor, o.processor_order_id, o.customer_id, o.customer_email, o.description, o.metadata::text, o.return_url,
o.cancel_url, o.capture_method, o.next_action::text, o.failure::text, o.outcome_unknown, o.dispute_status,
to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
to_char(o.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')

-- name: orders_by_id
-- Orders that several requests ask for at once, in the order of the arrays: keys, merchants, orders.
SELECT q.place, q.key IS NULL OR a.id IS NOT NULL AS holds, {order_columns}
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS q (key, merchant, id, place)
LEFT JOIN LATERAL (SELECT * FROM api_keys k WHERE k.id = q.key LIMIT 1) a
    ON a.merchant_id = q.merchant AND a.revoked_at IS NULL
    AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())
LEFT JOIN LATERAL (SELECT * FROM orders r WHERE r.id = q.id LIMIT 1) o
    ON o.merchant_id = q.merchant AND (q.key IS NULL OR o.test_mode <> a.live);

-- name: orders_page
-- Newest first, after the cursor (before_time, before_id); created_to is no later: of a pair alone, the index does not always
-- know where to begin. For an API key, never for the dashboard, which pages by number: its mode is a part of the index.
-- {status_filter} is there only when a status is wanted, which has an index of its own.
SELECT k.holds, {order_columns}, (extract(epoch FROM o.created_at) * 1000)::bigint
FROM ({key_holds}) AS k
LEFT JOIN LATERAL (
    SELECT * FROM orders r
    WHERE r.merchant_id = %(merchant)s AND r.test_mode = k.test_mode
        AND (r.created_at, r.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)
        AND r.created_at >= %(created_from)s AND r.created_at < %(created_to)s
        {status_filter}
    ORDER BY r.created_at DESC, r.id DESC
    LIMIT %(limit)s
) o ON k.holds
ORDER BY o.created_at DESC, o.id DESC;

-- name: orders_page_by_external_id
SELECT k.holds, {order_columns}, (extract(epoch FROM o.created_at) * 1000)::bigint
FROM ({key_holds}) AS k
LEFT JOIN LATERAL (
    SELECT * FROM orders r
    WHERE r.merchant_id = %(merchant)s AND r.external_id = %(external_id)s
        AND (k.test_mode IS NULL OR r.test_mode = k.test_mode)
        AND (r.created_at, r.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)
        AND r.created_at >= %(created_from)s AND r.created_at < %(created_to)s
        AND (%(status)s::text IS NULL OR r.status = %(status)s)
        AND (%(customer_id)s::text IS NULL OR r.customer_id = %(customer_id)s)
    ORDER BY r.created_at DESC, r.id DESC
    LIMIT %(limit)s
) o ON k.holds
ORDER BY o.created_at DESC, o.id DESC;

-- name: orders_page_by_customer_id
SELECT k.holds, {order_columns}, (extract(epoch FROM o.created_at) * 1000)::bigint
FROM ({key_holds}) AS k
LEFT JOIN LATERAL (
    SELECT * FROM orders r
    WHERE r.merchant_id = %(merchant)s AND r.customer_id = %(customer_id)s
        AND (k.test_mode IS NULL OR r.test_mode = k.test_mode)
        AND (r.created_at, r.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)
        AND r.created_at >= %(created_from)s AND r.created_at < %(created_to)s
        AND (%(status)s::text IS NULL OR r.status = %(status)s)
    ORDER BY r.created_at DESC, r.id DESC
    LIMIT %(limit)s
) o ON k.holds
ORDER BY o.created_at DESC, o.id DESC;

-- name: key_holds
SELECT %(key)s::uuid IS NULL OR a.id IS NOT NULL AS holds, NOT a.live AS test_mode
FROM (VALUES (1)) AS one
LEFT JOIN (SELECT * FROM api_keys WHERE id = %(key)s LIMIT 1) AS a
    ON a.merchant_id = %(merchant)s AND a.revoked_at IS NULL
    AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())

-- name: order_refunds
SELECT k.holds, w.id IS NOT NULL, r.id::text, r.amount, r.status, r.reason,
    to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
FROM ({key_holds}) AS k
LEFT JOIN (SELECT id, merchant_id, test_mode FROM orders WHERE id = %(order)s LIMIT 1) w
    ON w.merchant_id = %(merchant)s AND (k.test_mode IS NULL OR w.test_mode = k.test_mode)
LEFT JOIN refunds r ON r.order_id = w.id
ORDER BY r.version DESC, r.id DESC;

-- name: order_transactions
SELECT k.holds, w.id IS NOT NULL, t.id::text, t.type, t.amount, t.status, t.processor_transaction_id, t.error_code,
    t.error_message, to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
FROM ({key_holds}) AS k
LEFT JOIN (SELECT id, merchant_id, test_mode FROM orders WHERE id = %(order)s LIMIT 1) w
    ON w.merchant_id = %(merchant)s AND (k.test_mode IS NULL OR w.test_mode = k.test_mode)
LEFT JOIN transactions t ON t.order_id = w.id
ORDER BY t.version DESC, t.id DESC;

-- name: order_events
-- The order's part of the log, newest first, before a version.
SELECT k.holds, w.id IS NOT NULL, e.notification_id, e.originator_version, e.topic, e.state, e.recorded_at
FROM ({key_holds}) AS k
LEFT JOIN (SELECT id, merchant_id, test_mode FROM orders WHERE id = %(order)s LIMIT 1) w
    ON w.merchant_id = %(merchant)s AND (k.test_mode IS NULL OR w.test_mode = k.test_mode)
LEFT JOIN LATERAL (
    SELECT s.notification_id, s.originator_version, s.topic, s.state, s.recorded_at FROM stored_events s
    WHERE s.originator_id = w.id AND s.originator_version < %(before_version)s
    ORDER BY s.originator_version DESC
    LIMIT %(limit)s
) e ON true
ORDER BY e.originator_version DESC;

-- name: api_key_by_public_id
SELECT id, merchant_id, secret_hash, live, scopes, expires_at
FROM api_keys
WHERE public_id = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp());

-- name: merchant_by_email
SELECT id, version, name, email, email_digest, password_hash, webhook_url, token_version, created_at, updated_at
FROM merchants WHERE email_digest = %s;

-- name: merchant
SELECT id, version, name, email, email_digest, password_hash, webhook_url, token_version, created_at, updated_at
FROM merchants WHERE id = %s;

-- name: api_keys
SELECT k.id, k.name, k.prefix, k.scopes, u.last_used_at, k.expires_at, k.revoked_at, k.created_at
FROM (
    (
        SELECT * FROM api_keys h
        WHERE h.merchant_id = %(merchant)s AND h.revoked_at IS NULL AND (h.expires_at IS NULL OR h.expires_at > now())
    )
    UNION ALL
    (
        SELECT * FROM api_keys d
        WHERE d.merchant_id = %(merchant)s AND (d.revoked_at IS NOT NULL OR d.expires_at <= now())
        ORDER BY d.created_at DESC, d.id DESC
        LIMIT %(ended_max)s
    )
) k
LEFT JOIN api_key_uses u ON u.key_id = k.id
ORDER BY k.created_at DESC, k.id DESC;

-- name: processors
SELECT id, processor, enabled, priority, test_mode, created_at, updated_at
FROM processor_configs
WHERE merchant_id = %s AND removed_at IS NULL
ORDER BY created_at DESC, id DESC;

-- name: processor_options
SELECT k.holds, p.processor, p.enabled, p.priority, p.test_mode
FROM ({key_holds}) AS k
LEFT JOIN processor_configs p ON p.merchant_id = %(merchant)s AND p.removed_at IS NULL;

-- name: use_keys
-- The time that each key was last used; a time of another process may be later.
INSERT INTO api_key_uses AS t (key_id, last_used_at)
SELECT u.key, %(at)s FROM unnest(%(keys)s::uuid[]) AS u (key)
ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at
    WHERE t.last_used_at < excluded.last_used_at;
