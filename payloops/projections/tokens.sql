-- Which of the dashboard's tokens hold: a look by two primary keys.

-- name: token_holds
-- The merchant is there, the token is of its present version, not past its end by this clock, and not signed out.
SELECT EXISTS (
    SELECT FROM merchants m
    WHERE m.id = %(merchant)s AND m.token_version = %(version)s
        AND %(expires_at)s::timestamptz > clock_timestamp()
        AND NOT EXISTS (SELECT FROM revoked_tokens r WHERE r.token_id = %(token)s));

-- name: revoke_token
-- Each pays for some old ones, so that the table holds what can still be shown and little more.
WITH expired AS (
    DELETE FROM revoked_tokens r WHERE r.token_id IN (
        SELECT o.token_id FROM revoked_tokens o WHERE o.expires_at < clock_timestamp()
        ORDER BY o.expires_at LIMIT 10 FOR UPDATE SKIP LOCKED)
)
INSERT INTO revoked_tokens (token_id, expires_at) VALUES (%(token)s, %(expires_at)s)
ON CONFLICT (token_id) DO NOTHING;
