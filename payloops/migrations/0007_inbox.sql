-- What processors told.

-- The inbound inbox, one row an event of a processor; its body is in the log only.
CREATE TABLE processor_events (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    version bigint NOT NULL,
    processor text NOT NULL,
    processor_event_id text NOT NULL,
    type text NOT NULL,
    -- the order that it names or was found to be about; null once that turned out not to be the merchant's
    order_id uuid,
    -- received, processed, ignored, quarantined, failed
    status text NOT NULL,
    reason text,
    received_at timestamptz NOT NULL,
    -- when it was received, or last asked to be processed again
    since timestamptz NOT NULL,
    processed_at timestamptz
) WITH (fillfactor = 80);
-- Lists page newest first by (received_at, id).
CREATE INDEX processor_events_merchant_idx ON processor_events (merchant_id, received_at DESC, id DESC);
CREATE INDEX processor_events_order_idx ON processor_events (merchant_id, order_id, received_at DESC, id DESC)
    WHERE order_id IS NOT NULL;
-- What a person looks for is rare among all the others.
CREATE INDEX processor_events_trouble_idx ON processor_events (merchant_id, status, received_at DESC, id DESC)
    WHERE status IN ('quarantined', 'failed');

CREATE FUNCTION apply_processor_events(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO processor_events AS t (
        id, merchant_id, version, processor, processor_event_id, type, order_id, status, reason, received_at,
        since, processed_at)
    SELECT
        r.id, r.merchant_id, r.version, r.processor, r.processor_event_id, r.type, r.order_id, r.status, r.reason,
        r.received_at, r.since, r.processed_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, merchant_id uuid, version bigint, processor text, processor_event_id text, type text,
        order_id uuid, status text, reason text, received_at timestamptz, since timestamptz,
        processed_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, order_id = excluded.order_id, status = excluded.status, reason = excluded.reason,
        since = excluded.since, processed_at = excluded.processed_at;
END
$$;

-- An event need not name our order: a dispute, or a refund made at the processor, names the payment only.
CREATE INDEX orders_processor_order_idx ON orders (merchant_id, processor_order_id)
    WHERE processor_order_id IS NOT NULL;
CREATE INDEX transactions_processor_idx ON transactions (merchant_id, processor_transaction_id)
    WHERE processor_transaction_id IS NOT NULL;

-- Earlier credentials, [{credentials (sealed), expiresAt}]: their webhook secret still signs retries of older events.
ALTER TABLE processor_configs ADD COLUMN retired json NOT NULL DEFAULT '[]';
-- The webhook endpoint that we registered in the merchant's account.
ALTER TABLE processor_configs ADD COLUMN webhook_endpoint_id text;

CREATE OR REPLACE FUNCTION apply_processor_configs(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO processor_configs AS t
        (id, merchant_id, processor, credentials, enabled, priority, test_mode, created_at, updated_at, removed_at,
        retired, webhook_endpoint_id)
    SELECT r.id, r.merchant_id, r.processor, r.credentials, r.enabled, r.priority, r.test_mode, r.created_at,
        r.updated_at, r.removed_at, r.retired, r.webhook_endpoint_id
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, merchant_id uuid, processor text, credentials text, enabled boolean, priority integer,
        test_mode boolean, created_at timestamptz, updated_at timestamptz, removed_at timestamptz, retired json,
        webhook_endpoint_id text)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        credentials = excluded.credentials, enabled = excluded.enabled, priority = excluded.priority,
        test_mode = excluded.test_mode, updated_at = excluded.updated_at, removed_at = excluded.removed_at,
        retired = excluded.retired, webhook_endpoint_id = excluded.webhook_endpoint_id;
END
$$;
