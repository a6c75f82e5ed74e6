-- Hosted checkout.

CREATE TABLE checkout_sessions (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    version bigint NOT NULL,
    test_mode boolean NOT NULL,
    -- open, complete, expired; one that is open beyond expires_at can't be paid any more
    status text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    url text NOT NULL,
    success_url text NOT NULL,
    cancel_url text NOT NULL,
    customer_id text,
    -- sealed by the merchant's data key
    customer_email text,
    metadata json NOT NULL,
    -- [{name, amount, quantity}]
    line_items json NOT NULL,
    -- null until the customer pressed pay
    order_id uuid,
    expires_at timestamptz NOT NULL,
    completed_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 85);

CREATE FUNCTION apply_checkout_sessions(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO checkout_sessions AS t (
        id, merchant_id, version, test_mode, status, amount, currency, url, success_url, cancel_url, customer_id,
        customer_email, metadata, line_items, order_id, expires_at, completed_at, created_at, updated_at)
    SELECT
        r.id, r.merchant_id, r.version, r.test_mode, r.status, r.amount, r.currency, r.url, r.success_url, r.cancel_url,
        r.customer_id, r.customer_email, r.metadata, r.line_items, r.order_id, r.expires_at, r.completed_at,
        r.created_at, r.updated_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, merchant_id uuid, version bigint, test_mode boolean, status text, amount bigint,
        currency text, url text, success_url text, cancel_url text, customer_id text, customer_email text,
        metadata json, line_items json, order_id uuid, expires_at timestamptz, completed_at timestamptz,
        created_at timestamptz, updated_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, status = excluded.status, order_id = excluded.order_id,
        completed_at = excluded.completed_at, updated_at = excluded.updated_at;
END
$$;
