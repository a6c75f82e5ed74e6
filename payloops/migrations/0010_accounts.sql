-- Tokens that were revoked, rate limits that all processes share, and lists of one mode.

-- Tokens of an older version hold no longer. Raised by events, so it is part of the read table.
ALTER TABLE merchants ADD COLUMN token_version bigint NOT NULL DEFAULT 0;

CREATE OR REPLACE FUNCTION apply_merchants(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO merchants AS t (
        id, version, name, email, email_digest, password_hash, webhook_url, token_version, created_at, updated_at)
    SELECT
        r.id, r.version, r.name, r.email, r.email_digest, r.password_hash, r.webhook_url, r.token_version, r.created_at,
        r.updated_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, version bigint, name text, email text, email_digest text, password_hash text,
        webhook_url text, token_version bigint, created_at timestamptz, updated_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, name = excluded.name, email = excluded.email, email_digest = excluded.email_digest,
        password_hash = excluded.password_hash, webhook_url = excluded.webhook_url,
        token_version = excluded.token_version, updated_at = excluded.updated_at;
END
$$;

-- Single tokens that were signed out, each until it would have expired anyway. Not made from events.
CREATE TABLE revoked_tokens (
    token_id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX revoked_tokens_expiry_idx ON revoked_tokens (expires_at);

-- When each bucket let a request in: the last ones only, oldest first, as many as its limit at most. A row is dead once
-- the newest of them has left the window.
CREATE TABLE rate_limits (
    bucket text PRIMARY KEY,
    hits timestamptz[] NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX rate_limits_expiry_idx ON rate_limits (expires_at);

-- Lets a request into a bucket, or not: at most p_limit in any p_window_s seconds, by this database's clock.
-- remaining: how many more may come now; wait_s: seconds until one more may come (0 when remaining is not).
CREATE FUNCTION take_rate_limit(p_bucket text, p_limit integer, p_window_s double precision)
RETURNS TABLE (allowed boolean, remaining integer, wait_s double precision) LANGUAGE plpgsql AS $$
DECLARE
    v_window CONSTANT interval := p_window_s * interval '1 second';
    v_now timestamptz := clock_timestamp();
    v_hits timestamptz[];
BEGIN
    -- Full is full: hits only leave by time. So a flood that is refused takes no lock and writes nothing.
    SELECT r.hits INTO v_hits FROM rate_limits r WHERE r.bucket = p_bucket;
    IF cardinality(v_hits) < p_limit OR v_hits[cardinality(v_hits) - p_limit + 1] <= v_now - v_window IS NOT FALSE THEN
        INSERT INTO rate_limits AS r (bucket, hits, expires_at) VALUES (p_bucket, '{}', v_now)
        ON CONFLICT (bucket) DO UPDATE SET bucket = excluded.bucket
        RETURNING r.hits INTO v_hits;
        -- Read after the row was locked: who comes later has the later time.
        v_now := clock_timestamp();
        v_hits := array(SELECT h FROM unnest(v_hits) WITH ORDINALITY AS u (h, place)
            WHERE h > v_now - v_window ORDER BY u.place);
        allowed := cardinality(v_hits) < p_limit;
        IF allowed THEN
            v_hits := v_hits || v_now;
            UPDATE rate_limits r SET hits = v_hits, expires_at = v_now + v_window WHERE r.bucket = p_bucket;
            -- Each new row pays for some old ones. One that is locked is in use.
            DELETE FROM rate_limits r WHERE r.bucket IN (
                SELECT d.bucket FROM rate_limits d WHERE d.expires_at < v_now
                ORDER BY d.expires_at LIMIT 10 FOR UPDATE SKIP LOCKED);
        END IF;
    ELSE
        allowed := false;
    END IF;
    remaining := greatest(0, p_limit - cardinality(v_hits));
    wait_s := CASE WHEN remaining > 0 THEN 0
        ELSE greatest(0, extract(epoch FROM v_hits[cardinality(v_hits) - p_limit + 1] + v_window - v_now)) END;
    RETURN NEXT;
END
$$;

-- A key sees the orders of its mode only, and its lists must not walk over those of the other. Both modes together are
-- two ranges of this index.
CREATE INDEX orders_merchant_mode_idx ON orders (merchant_id, test_mode, created_at DESC, id DESC);
DROP INDEX orders_merchant_idx;
