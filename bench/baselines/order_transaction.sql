-- P2's baseline, for pgbench: all that creating an order writes, as one transaction in one round trip. The event goes into the
-- log with its indexes and triggers, the order into its read table with its indexes and checks; both are the tables of our own
-- schema and rows as large as ours. It does without the lock that puts appends in one order (a sequence numbers them), without
-- the check of the API key, and without a NOTIFY.
WITH event AS (
    INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id, recorded_at)
    VALUES (uuidv7(), 1, :topic, decode(:state, 'base64'), nextval('bench_positions'), now())
    RETURNING originator_id, recorded_at
)
INSERT INTO orders (
    id, merchant_id, version, test_mode, external_id, amount, currency, status, amount_captured, amount_refunded,
    customer_id, description, metadata, capture_method, outcome_unknown, created_at, updated_at)
SELECT originator_id, :merchant::uuid, 1, true, :external_id, :amount::bigint, :currency, 'pending', 0, 0,
    :customer_id, :description, :metadata::json, 'automatic', false, recorded_at, recorded_at
FROM event;
