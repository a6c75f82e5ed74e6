-- Where merchants are told, and what became of each telling.

CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    version bigint NOT NULL,
    url text NOT NULL,
    -- an empty list means all
    event_types json NOT NULL,
    enabled boolean NOT NULL,
    -- gone, failing: the system's; null when the merchant disabled it
    disabled_reason text,
    is_default boolean NOT NULL,
    -- sealed; null once removed
    secret text,
    previous_secret text,
    previous_expires_at timestamptz,
    removed_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
-- Lists, and in each append of a public event: is there anybody to tell?
CREATE INDEX webhook_endpoints_merchant_idx ON webhook_endpoints (merchant_id, created_at DESC, id DESC)
    WHERE removed_at IS NULL;

CREATE UNIQUE INDEX webhook_endpoints_default_idx ON webhook_endpoints (merchant_id) WHERE is_default;

CREATE FUNCTION apply_webhook_endpoints(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_endpoints AS t (
        id, merchant_id, version, url, event_types, enabled, disabled_reason, is_default, secret, previous_secret,
        previous_expires_at, removed_at, created_at, updated_at)
    SELECT
        r.id, r.merchant_id, r.version, r.url, r.event_types, r.enabled, r.disabled_reason, r.is_default, r.secret,
        r.previous_secret, r.previous_expires_at, r.removed_at, r.created_at, r.updated_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, merchant_id uuid, version bigint, url text, event_types json, enabled boolean,
        disabled_reason text, is_default boolean, secret text, previous_secret text, previous_expires_at timestamptz,
        removed_at timestamptz, created_at timestamptz, updated_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, url = excluded.url, event_types = excluded.event_types, enabled = excluded.enabled,
        disabled_reason = excluded.disabled_reason, secret = excluded.secret, previous_secret = excluded.previous_secret,
        previous_expires_at = excluded.previous_expires_at, removed_at = excluded.removed_at,
        updated_at = excluded.updated_at;
END
$$;

CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    url text NOT NULL,
    -- null: a sample, or an event that is of no order
    order_id uuid,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    -- the event's place among its order's: deliveries of one order and endpoint go by it
    sequence bigint NOT NULL,
    -- pending, retrying, delivered, failed
    status text NOT NULL,
    attempts integer NOT NULL,
    round integer NOT NULL,
    workflow_id text NOT NULL,
    last_attempt_at timestamptz,
    next_retry_at timestamptz,
    delivered_at timestamptz,
    last_status_code integer,
    last_error text,
    correlation_id text NOT NULL,
    traceparent text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 85);
-- Lists page newest first; those of one status are also what is retried in bulk.
CREATE INDEX webhook_deliveries_merchant_idx ON webhook_deliveries (merchant_id, created_at DESC, id DESC);
CREATE INDEX webhook_deliveries_status_idx ON webhook_deliveries (merchant_id, status, created_at DESC, id DESC);
CREATE INDEX webhook_deliveries_endpoint_idx ON webhook_deliveries (endpoint_id, created_at DESC, id DESC);
-- Whose turn it is: an order has few events, and few endpoints want each.
CREATE INDEX webhook_deliveries_order_idx ON webhook_deliveries (order_id, endpoint_id, sequence)
    WHERE order_id IS NOT NULL;

-- Also passes the turn on: when a delivery ends, the workflow of the next one of its order and endpoint that has not
-- ended is told to proceed. Under the log's lock, so of two that end at once neither is missed. Returns the number of
-- outbox rows. To be called after apply_outbox: a workflow's start goes before what it is told.
CREATE FUNCTION apply_webhook_deliveries(p_rows json, p_refused integer[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_ended uuid[];
    v_count bigint;
BEGIN
    v_ended := array(
        SELECT r.id
        FROM json_to_recordset(p_rows) AS r (c integer, id uuid, order_id uuid, status text)
        JOIN webhook_deliveries t ON t.id = r.id
        WHERE r.c <> ALL (p_refused) AND r.order_id IS NOT NULL
            AND r.status IN ('delivered', 'failed') AND t.status NOT IN ('delivered', 'failed'));

    INSERT INTO webhook_deliveries AS t (
        id, merchant_id, endpoint_id, url, order_id, event_id, event_type, sequence, status, attempts, round, workflow_id,
        last_attempt_at, next_retry_at, delivered_at, last_status_code, last_error, correlation_id, traceparent,
        created_at, updated_at)
    SELECT
        r.id, r.merchant_id, r.endpoint_id, r.url, r.order_id, r.event_id, r.event_type, r.sequence, r.status, r.attempts,
        r.round, r.workflow_id, r.last_attempt_at, r.next_retry_at, r.delivered_at, r.last_status_code, r.last_error,
        r.correlation_id, r.traceparent, r.created_at, r.updated_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, merchant_id uuid, endpoint_id uuid, url text, order_id uuid, event_id uuid, event_type text,
        sequence bigint, status text, attempts integer, round integer, workflow_id text, last_attempt_at timestamptz,
        next_retry_at timestamptz, delivered_at timestamptz, last_status_code integer, last_error text,
        correlation_id text, traceparent text, created_at timestamptz, updated_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        status = excluded.status, attempts = excluded.attempts, round = excluded.round,
        workflow_id = excluded.workflow_id, last_attempt_at = excluded.last_attempt_at,
        next_retry_at = excluded.next_retry_at, delivered_at = excluded.delivered_at,
        last_status_code = excluded.last_status_code, last_error = excluded.last_error, updated_at = excluded.updated_at;

    IF cardinality(v_ended) = 0 THEN
        RETURN 0;
    END IF;
    INSERT INTO outbox (id, key, lane, kind, payload, correlation_id, traceparent)
    SELECT md5(d.id::text || ':turn:' || n.id::text || ':' || d.round::text)::uuid, n.workflow_id,
        'deliver:' || n.merchant_id::text || ':' || n.endpoint_id::text, 'signal',
        json_build_object(
            'workflowId', n.workflow_id, 'signal', 'proceed', 'payload', json_build_object(),
            'merchantId', n.merchant_id, 'orderId', n.order_id, 'attempt', n.attempts),
        n.correlation_id, n.traceparent
    FROM webhook_deliveries d
    CROSS JOIN LATERAL (
        SELECT * FROM webhook_deliveries o
        WHERE o.order_id = d.order_id AND o.endpoint_id = d.endpoint_id AND o.sequence > d.sequence
            AND o.status NOT IN ('delivered', 'failed')
        ORDER BY o.sequence
        LIMIT 1
    ) n
    WHERE d.id = ANY (v_ended)
    ON CONFLICT (id) DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;

CREATE TABLE webhook_attempts (
    id uuid PRIMARY KEY,
    delivery_id uuid NOT NULL,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    status_code integer,
    error text,
    -- sealed by the merchant's data key
    response_body text
);
CREATE UNIQUE INDEX webhook_attempts_delivery_idx ON webhook_attempts (delivery_id, number);

CREATE FUNCTION apply_webhook_attempts(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_attempts (id, delivery_id, number, started_at, duration_ms, status_code, error, response_body)
    SELECT r.id, r.delivery_id, r.number, r.started_at, r.duration_ms, r.status_code, r.error, r.response_body
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, delivery_id uuid, number integer, started_at timestamptz, duration_ms integer,
        status_code integer, error text, response_body text)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO NOTHING;
END
$$;
