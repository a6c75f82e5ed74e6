-- What the dashboard counts and finds: numbers of orders and money, what orders are searched by, and the audit trail.

-- Counts and sums per quarter of an hour, in UTC: so any time zone's days are sums of whole rows. Kept with the events,
-- under the log's lock, so a dashboard reads its own writes and nothing has to catch up (docs/adr/0010).
CREATE TABLE order_stats (
    merchant_id uuid NOT NULL,
    bucket timestamptz NOT NULL,
    currency text NOT NULL,
    test_mode boolean NOT NULL,
    -- '' while no processor has been chosen
    processor text NOT NULL,
    -- orders that were created in this quarter, by the status that they have now
    pending bigint NOT NULL,
    processing bigint NOT NULL,
    requires_action bigint NOT NULL,
    authorized bigint NOT NULL,
    captured bigint NOT NULL,
    partially_refunded bigint NOT NULL,
    refunded bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    -- what happened in this quarter, whenever the order was created
    captures bigint NOT NULL,
    captured_amount numeric NOT NULL,
    refunds bigint NOT NULL,
    refunded_amount numeric NOT NULL,
    disputes_lost bigint NOT NULL,
    disputed_amount numeric NOT NULL,
    PRIMARY KEY (merchant_id, bucket, currency, test_mode, processor)
) WITH (fillfactor = 60);

-- Rows say by how much each number changes.
CREATE FUNCTION apply_order_stats(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO order_stats AS t (
        merchant_id, bucket, currency, test_mode, processor, pending, processing, requires_action, authorized, captured,
        partially_refunded, refunded, failed, cancelled, captures, captured_amount, refunds, refunded_amount,
        disputes_lost, disputed_amount)
    SELECT
        r.merchant_id, r.bucket, r.currency, r.test_mode, r.processor, sum(coalesce(r.pending, 0)),
        sum(coalesce(r.processing, 0)), sum(coalesce(r.requires_action, 0)), sum(coalesce(r.authorized, 0)),
        sum(coalesce(r.captured, 0)), sum(coalesce(r.partially_refunded, 0)), sum(coalesce(r.refunded, 0)),
        sum(coalesce(r.failed, 0)), sum(coalesce(r.cancelled, 0)), sum(coalesce(r.captures, 0)),
        sum(coalesce(r.captured_amount, 0)), sum(coalesce(r.refunds, 0)), sum(coalesce(r.refunded_amount, 0)),
        sum(coalesce(r.disputes_lost, 0)), sum(coalesce(r.disputed_amount, 0))
    FROM json_to_recordset(p_rows) AS r (
        c integer, merchant_id uuid, bucket timestamptz, currency text, test_mode boolean, processor text,
        pending bigint, processing bigint, requires_action bigint, authorized bigint, captured bigint,
        partially_refunded bigint, refunded bigint, failed bigint, cancelled bigint, captures bigint,
        captured_amount bigint, refunds bigint, refunded_amount bigint, disputes_lost bigint, disputed_amount bigint)
    WHERE r.c <> ALL (p_refused)
    GROUP BY r.merchant_id, r.bucket, r.currency, r.test_mode, r.processor
    ON CONFLICT (merchant_id, bucket, currency, test_mode, processor) DO UPDATE SET
        pending = t.pending + excluded.pending, processing = t.processing + excluded.processing,
        requires_action = t.requires_action + excluded.requires_action, authorized = t.authorized + excluded.authorized,
        captured = t.captured + excluded.captured,
        partially_refunded = t.partially_refunded + excluded.partially_refunded,
        refunded = t.refunded + excluded.refunded, failed = t.failed + excluded.failed,
        cancelled = t.cancelled + excluded.cancelled, captures = t.captures + excluded.captures,
        captured_amount = t.captured_amount + excluded.captured_amount, refunds = t.refunds + excluded.refunds,
        refunded_amount = t.refunded_amount + excluded.refunded_amount,
        disputes_lost = t.disputes_lost + excluded.disputes_lost,
        disputed_amount = t.disputed_amount + excluded.disputed_amount;
END
$$;

-- Orders from before this table. Of those the log alone knows the very moment of each refund; their rows' last change is
-- taken for it.
INSERT INTO order_stats (
    merchant_id, bucket, currency, test_mode, processor, pending, processing, requires_action, authorized, captured,
    partially_refunded, refunded, failed, cancelled, captures, captured_amount, refunds, refunded_amount, disputes_lost,
    disputed_amount)
SELECT
    m.merchant_id, date_bin('15 minutes', m.at, '2000-01-01Z'), m.currency, m.test_mode, m.processor,
    count(*) FILTER (WHERE m.status = 'pending'), count(*) FILTER (WHERE m.status = 'processing'),
    count(*) FILTER (WHERE m.status = 'requires_action'), count(*) FILTER (WHERE m.status = 'authorized'),
    count(*) FILTER (WHERE m.status = 'captured'), count(*) FILTER (WHERE m.status = 'partially_refunded'),
    count(*) FILTER (WHERE m.status = 'refunded'), count(*) FILTER (WHERE m.status = 'failed'),
    count(*) FILTER (WHERE m.status = 'cancelled'), count(*) FILTER (WHERE m.status = '+capture'),
    coalesce(sum(m.amount) FILTER (WHERE m.status = '+capture'), 0), count(*) FILTER (WHERE m.status = '+refund'),
    coalesce(sum(m.amount) FILTER (WHERE m.status = '+refund'), 0), 0, 0
FROM (
    SELECT o.merchant_id, o.created_at AS at, o.currency, o.test_mode, coalesce(o.processor, '') AS processor, o.status,
        0 AS amount
    FROM orders o
    UNION ALL
    SELECT o.merchant_id, c.at, o.currency, o.test_mode, coalesce(o.processor, ''), '+capture', o.amount_captured
    FROM orders o
    JOIN (
        SELECT order_id, min(updated_at) AS at FROM transactions WHERE type = 'capture' AND status = 'success'
        GROUP BY order_id
    ) c ON c.order_id = o.id
    WHERE o.amount_captured > 0
    UNION ALL
    SELECT o.merchant_id, f.updated_at, o.currency, o.test_mode, coalesce(o.processor, ''), '+refund', f.amount
    FROM orders o JOIN refunds f ON f.order_id = o.id AND f.status = 'success'
) m
GROUP BY 1, 2, 3, 4, 5;

-- Orders by the e-mail address of their customer. digest is keyed by the merchant's data key and means nothing without it:
-- who destroys that key erases these as well.
CREATE TABLE order_emails (
    merchant_id uuid NOT NULL,
    digest text NOT NULL,
    order_id uuid NOT NULL,
    PRIMARY KEY (merchant_id, digest, order_id)
);

CREATE FUNCTION apply_order_emails(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO order_emails (merchant_id, digest, order_id)
    SELECT r.merchant_id, r.digest, r.order_id
    FROM json_to_recordset(p_rows) AS r (c integer, merchant_id uuid, digest text, order_id uuid)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT DO NOTHING;
END
$$;

-- Which events of the log are a merchant's, and by what they are asked for. Not written with the events but after them, by
-- index_audit: the log itself is the truth, and these rows say only where in it to look.
CREATE TABLE audit_entries (
    position bigint PRIMARY KEY,
    merchant_id uuid NOT NULL,
    -- without its version
    type text NOT NULL,
    actor text,
    order_id uuid,
    correlation_id text NOT NULL,
    -- never before that of an earlier position
    recorded_at timestamptz NOT NULL
);
CREATE INDEX audit_entries_merchant_idx ON audit_entries (merchant_id, position);
CREATE INDEX audit_entries_time_idx ON audit_entries (merchant_id, recorded_at, position);
CREATE INDEX audit_entries_type_idx ON audit_entries (merchant_id, type, position);
CREATE INDEX audit_entries_actor_idx ON audit_entries (merchant_id, actor, position);
CREATE INDEX audit_entries_order_idx ON audit_entries (order_id, position) WHERE order_id IS NOT NULL;
CREATE INDEX audit_entries_correlation_idx ON audit_entries (correlation_id, position);

-- How far index_audit has come. Locked while it works: one at a time, and its rows commit with its progress.
CREATE TABLE audit_progress (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    position bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO audit_progress (position) VALUES (0);

-- Indexes the next p_limit events of the log. Returns the position that it has come to, null when somebody else is at it
-- and p_wait is false.
CREATE FUNCTION index_audit(p_limit integer, p_wait boolean) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_from bigint;
    v_to bigint;
BEGIN
    IF p_wait THEN
        SELECT a.position INTO STRICT v_from FROM audit_progress a FOR UPDATE;
    ELSE
        SELECT a.position INTO v_from FROM audit_progress a FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN RETURN NULL; END IF;
    END IF;
    SELECT least(h.position, v_from + p_limit) INTO STRICT v_to FROM log_head h;
    IF v_to <= v_from THEN RETURN v_from; END IF;
    INSERT INTO audit_entries (position, merchant_id, type, actor, order_id, correlation_id, recorded_at)
    SELECT s.notification_id, w.merchant_id, regexp_replace(s.topic, '\.v[0-9]+$', ''), s.body -> 'meta' -> 'actor' ->> 'id',
        w.order_id, s.body -> 'meta' ->> 'correlation_id', s.recorded_at
    FROM (
        SELECT e.notification_id, e.originator_id, e.topic, e.recorded_at, convert_from(e.state, 'UTF8')::json AS body
        FROM stored_events e WHERE e.notification_id > v_from AND e.notification_id <= v_to
    ) s
    JOIN LATERAL (
        SELECT o.merchant_id, o.id AS order_id FROM orders o WHERE o.id = s.originator_id
        UNION ALL
        SELECT m.id, NULL FROM merchants m WHERE m.id = s.originator_id
        UNION ALL
        SELECT d.merchant_id, d.order_id FROM webhook_deliveries d WHERE d.id = s.originator_id
        UNION ALL
        SELECT p.merchant_id, p.order_id FROM processor_events p WHERE p.id = s.originator_id
        UNION ALL
        SELECT c.merchant_id, c.order_id FROM checkout_sessions c WHERE c.id = s.originator_id
        UNION ALL
        SELECT w.merchant_id, NULL FROM webhook_endpoints w WHERE w.id = s.originator_id
        LIMIT 1
    ) w ON true
    ON CONFLICT (position) DO NOTHING;
    UPDATE audit_progress SET position = v_to;
    RETURN v_to;
END
$$;
