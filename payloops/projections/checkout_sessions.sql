-- Queries on hosted checkout; as in views.sql, one row by its id stands in a subquery of its own.

-- name: session
SELECT
    %(key)s::uuid IS NULL OR EXISTS (
        SELECT FROM (SELECT * FROM api_keys WHERE id = %(key)s LIMIT 1) AS a
        WHERE a.merchant_id = %(merchant)s AND a.revoked_at IS NULL
            AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())) AS holds,
    s.id, s.merchant_id, s.version, s.test_mode, s.status, s.amount, s.currency, s.url, s.success_url, s.cancel_url,
    s.customer_id, s.customer_email, s.metadata, s.line_items, s.order_id, s.expires_at, s.completed_at, s.created_at,
    s.updated_at
FROM (SELECT) AS one
LEFT JOIN (SELECT * FROM checkout_sessions WHERE id = %(session)s LIMIT 1) AS s
    ON s.merchant_id = %(merchant)s AND s.test_mode = %(test_mode)s;

-- name: pay_options
SELECT processor, priority, credentials
FROM processor_configs
WHERE merchant_id = %(merchant)s AND enabled AND test_mode = %(test_mode)s AND removed_at IS NULL;
