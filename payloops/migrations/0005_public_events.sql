-- What merchants are told of an order, and of a checkout that never became one.

CREATE TABLE public_events (
    -- made from the event that it tells of: the same for ever, for every receiver and attempt
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    -- of the event that it tells of: the order's, or the checkout session's
    stream_id uuid NOT NULL,
    stream_version bigint NOT NULL,
    -- null when there is no order
    order_id uuid,
    -- counts the stream's public events from 1, without gaps
    sequence bigint NOT NULL,
    type text NOT NULL,
    -- the event's place in the log: the cursor of the feed
    position bigint NOT NULL,
    -- what the body is made from; what is personal or secret in it is sealed by the merchant's data key
    state json NOT NULL,
    correlation_id text NOT NULL,
    traceparent text,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX public_events_merchant_idx ON public_events (merchant_id, position);
CREATE UNIQUE INDEX public_events_stream_idx ON public_events (stream_id, sequence);

-- Also writes an outbox row for each event whose merchant has an enabled endpoint now: what to publish. Returns the number
-- of these rows. To be called after the events are in the log, and after apply_webhook_endpoints.
CREATE FUNCTION apply_public_events(p_rows json, p_refused integer[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    WITH told AS (
        INSERT INTO public_events (
            id, merchant_id, stream_id, stream_version, order_id, sequence, type, position, state, correlation_id,
            traceparent, created_at)
        SELECT
            r.id, r.merchant_id, r.stream_id, r.stream_version, r.order_id, r.sequence, r.type, s.notification_id, r.state,
            r.correlation_id, r.traceparent, r.created_at
        FROM json_to_recordset(p_rows) AS r (
            c integer, id uuid, merchant_id uuid, stream_id uuid, stream_version bigint, order_id uuid, sequence bigint,
            type text, state json, correlation_id text, traceparent text, created_at timestamptz)
        JOIN stored_events s ON s.originator_id = r.stream_id AND s.originator_version = r.stream_version
        WHERE r.c <> ALL (p_refused)
        ON CONFLICT (id) DO NOTHING
        RETURNING id, merchant_id, stream_id, order_id, sequence, type, position, correlation_id, traceparent
    )
    INSERT INTO outbox (id, key, lane, kind, payload, correlation_id, traceparent)
    SELECT t.id, 'order-events-' || t.stream_id::text, 'publish:' || t.merchant_id::text, 'publish',
        json_build_object(
            'eventId', t.id, 'merchantId', t.merchant_id, 'orderId', t.order_id, 'type', t.type, 'sequence', t.sequence),
        t.correlation_id, t.traceparent
    FROM told t
    WHERE EXISTS (
        SELECT FROM webhook_endpoints w WHERE w.merchant_id = t.merchant_id AND w.enabled AND w.removed_at IS NULL)
    ORDER BY t.position
    ON CONFLICT (id) DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;

-- opened, won or lost; null when there never was a dispute.
ALTER TABLE orders ADD COLUMN dispute_status text;

CREATE OR REPLACE FUNCTION apply_orders(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orders AS t (
        id, merchant_id, version, test_mode, external_id, amount, currency, status, amount_captured, amount_refunded,
        processor, processor_order_id, processor_transaction_id, workflow_id, customer_id, customer_email, description,
        metadata, return_url, cancel_url, capture_method, next_action, failure, outcome_unknown, dispute_status,
        created_at, updated_at)
    SELECT
        r.id, r.merchant_id, r.version, r.test_mode, r.external_id, r.amount, r.currency, r.status, r.amount_captured,
        r.amount_refunded, r.processor, r.processor_order_id, r.processor_transaction_id, r.workflow_id, r.customer_id,
        r.customer_email, r.description, r.metadata, r.return_url, r.cancel_url, r.capture_method, r.next_action,
        r.failure, r.outcome_unknown, r.dispute_status, r.created_at, r.updated_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, merchant_id uuid, version bigint, test_mode boolean, external_id text, amount bigint,
        currency text, status text, amount_captured bigint, amount_refunded bigint, processor text,
        processor_order_id text, processor_transaction_id text, workflow_id text, customer_id text, customer_email text,
        description text, metadata json, return_url text, cancel_url text, capture_method text, next_action json,
        failure json, outcome_unknown boolean, dispute_status text, created_at timestamptz, updated_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, status = excluded.status, amount_captured = excluded.amount_captured,
        amount_refunded = excluded.amount_refunded, processor = excluded.processor,
        processor_order_id = excluded.processor_order_id, processor_transaction_id = excluded.processor_transaction_id,
        workflow_id = excluded.workflow_id, next_action = excluded.next_action, failure = excluded.failure,
        outcome_unknown = excluded.outcome_unknown, dispute_status = excluded.dispute_status,
        updated_at = excluded.updated_at;
END
$$;

-- A refund that is known by its amount alone shrinks when a part of it is told by its own id.
CREATE OR REPLACE FUNCTION apply_refunds(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO refunds AS t (
        id, order_id, merchant_id, version, amount, status, reason, processor_refund_id, error_code, error_message,
        outcome_unknown, created_at, updated_at)
    SELECT
        r.id, r.order_id, r.merchant_id, r.version, r.amount, r.status, r.reason, r.processor_refund_id, r.error_code,
        r.error_message, r.outcome_unknown, r.created_at, r.updated_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, order_id uuid, merchant_id uuid, version bigint, amount bigint, status text, reason text,
        processor_refund_id text, error_code text, error_message text, outcome_unknown boolean, created_at timestamptz,
        updated_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        amount = excluded.amount, status = excluded.status, processor_refund_id = excluded.processor_refund_id,
        error_code = excluded.error_code, error_message = excluded.error_message,
        outcome_unknown = excluded.outcome_unknown, updated_at = excluded.updated_at;
END
$$;
