-- Read tables that are written in the append transaction. Each has an apply_… function: append_batch calls it with the rows
-- of a batch, each row with the number of its command (c), and the numbers of the commands that were refused.

CREATE TABLE merchants (
    id uuid PRIMARY KEY,
    version bigint NOT NULL,
    name text NOT NULL,
    email text NOT NULL,
    email_digest text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    webhook_url text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE FUNCTION apply_merchants(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO merchants AS t (id, version, name, email, email_digest, password_hash, webhook_url, created_at, updated_at)
    SELECT r.id, r.version, r.name, r.email, r.email_digest, r.password_hash, r.webhook_url, r.created_at, r.updated_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, version bigint, name text, email text, email_digest text, password_hash text,
        webhook_url text, created_at timestamptz, updated_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, name = excluded.name, email = excluded.email, email_digest = excluded.email_digest,
        password_hash = excluded.password_hash, webhook_url = excluded.webhook_url, updated_at = excluded.updated_at;
END
$$;

CREATE FUNCTION apply_merchant_keys(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO merchant_keys (merchant_id, wrapped)
    SELECT r.merchant_id, r.wrapped
    FROM json_to_recordset(p_rows) AS r (c integer, merchant_id uuid, wrapped text)
    WHERE r.c <> ALL (p_refused);
END
$$;

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    public_id text NOT NULL UNIQUE,
    prefix text NOT NULL,
    name text NOT NULL,
    secret_hash text NOT NULL,
    live boolean NOT NULL,
    scopes json NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_merchant_idx ON api_keys (merchant_id, created_at DESC);

CREATE FUNCTION apply_api_keys(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO api_keys AS t
        (id, merchant_id, public_id, prefix, name, secret_hash, live, scopes, created_at, expires_at, revoked_at)
    SELECT r.id, r.merchant_id, r.public_id, r.prefix, r.name, r.secret_hash, r.live, r.scopes, r.created_at,
        r.expires_at, r.revoked_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, merchant_id uuid, public_id text, prefix text, name text, secret_hash text, live boolean,
        scopes json, created_at timestamptz, expires_at timestamptz, revoked_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, expires_at = excluded.expires_at, revoked_at = excluded.revoked_at;
END
$$;

-- When a key was last used: written in batches, not from events.
CREATE TABLE api_key_uses (
    key_id uuid PRIMARY KEY,
    last_used_at timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE processor_configs (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    processor text NOT NULL,
    -- sealed; null once removed
    credentials text,
    enabled boolean NOT NULL,
    priority integer NOT NULL,
    test_mode boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    removed_at timestamptz
);
CREATE UNIQUE INDEX processor_configs_in_use_idx ON processor_configs (merchant_id, processor) WHERE removed_at IS NULL;

CREATE FUNCTION apply_processor_configs(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO processor_configs AS t
        (id, merchant_id, processor, credentials, enabled, priority, test_mode, created_at, updated_at, removed_at)
    SELECT r.id, r.merchant_id, r.processor, r.credentials, r.enabled, r.priority, r.test_mode, r.created_at,
        r.updated_at, r.removed_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, merchant_id uuid, processor text, credentials text, enabled boolean, priority integer,
        test_mode boolean, created_at timestamptz, updated_at timestamptz, removed_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        credentials = excluded.credentials, enabled = excluded.enabled, priority = excluded.priority,
        test_mode = excluded.test_mode, updated_at = excluded.updated_at, removed_at = excluded.removed_at;
END
$$;

CREATE TABLE orders (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    version bigint NOT NULL,
    test_mode boolean NOT NULL,
    external_id text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    status text NOT NULL,
    amount_captured bigint NOT NULL CHECK (amount_captured BETWEEN 0 AND amount),
    amount_refunded bigint NOT NULL CHECK (amount_refunded BETWEEN 0 AND amount_captured),
    processor text,
    processor_order_id text,
    processor_transaction_id text,
    workflow_id text,
    customer_id text,
    -- sealed by the merchant's data key
    customer_email text,
    description text,
    metadata json NOT NULL,
    return_url text,
    cancel_url text,
    capture_method text NOT NULL,
    -- {redirectUrl, clientSecret (sealed), processorData}
    next_action json,
    -- {code, declineCode, message, processor}
    failure json,
    outcome_unknown boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 85);
-- Lists page newest first by (created_at, id).
CREATE INDEX orders_merchant_idx ON orders (merchant_id, created_at DESC, id DESC);
CREATE INDEX orders_merchant_external_idx ON orders (merchant_id, external_id);
CREATE INDEX orders_merchant_customer_idx ON orders (merchant_id, customer_id, created_at DESC, id DESC)
    WHERE customer_id IS NOT NULL;

CREATE FUNCTION apply_orders(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orders AS t (
        id, merchant_id, version, test_mode, external_id, amount, currency, status, amount_captured, amount_refunded,
        processor, processor_order_id, processor_transaction_id, workflow_id, customer_id, customer_email, description,
        metadata, return_url, cancel_url, capture_method, next_action, failure, outcome_unknown, created_at, updated_at)
    SELECT
        r.id, r.merchant_id, r.version, r.test_mode, r.external_id, r.amount, r.currency, r.status, r.amount_captured,
        r.amount_refunded, r.processor, r.processor_order_id, r.processor_transaction_id, r.workflow_id, r.customer_id,
        r.customer_email, r.description, r.metadata, r.return_url, r.cancel_url, r.capture_method, r.next_action,
        r.failure, r.outcome_unknown, r.created_at, r.updated_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, merchant_id uuid, version bigint, test_mode boolean, external_id text, amount bigint,
        currency text, status text, amount_captured bigint, amount_refunded bigint, processor text,
        processor_order_id text, processor_transaction_id text, workflow_id text, customer_id text, customer_email text,
        description text, metadata json, return_url text, cancel_url text, capture_method text, next_action json,
        failure json, outcome_unknown boolean, created_at timestamptz, updated_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, status = excluded.status, amount_captured = excluded.amount_captured,
        amount_refunded = excluded.amount_refunded, processor = excluded.processor,
        processor_order_id = excluded.processor_order_id, processor_transaction_id = excluded.processor_transaction_id,
        workflow_id = excluded.workflow_id, next_action = excluded.next_action, failure = excluded.failure,
        outcome_unknown = excluded.outcome_unknown, updated_at = excluded.updated_at;
END
$$;

CREATE TABLE transactions (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL,
    merchant_id uuid NOT NULL,
    -- the order's version when the transaction came to be: its place among the order's transactions
    version bigint NOT NULL,
    type text NOT NULL,
    amount bigint NOT NULL,
    status text NOT NULL,
    processor_transaction_id text,
    error_code text,
    error_message text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX transactions_order_idx ON transactions (order_id, version DESC);

CREATE FUNCTION apply_transactions(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO transactions AS t (
        id, order_id, merchant_id, version, type, amount, status, processor_transaction_id, error_code, error_message,
        created_at, updated_at)
    SELECT
        r.id, r.order_id, r.merchant_id, r.version, r.type, r.amount, r.status, r.processor_transaction_id, r.error_code,
        r.error_message, r.created_at, r.updated_at
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, order_id uuid, merchant_id uuid, version bigint, type text, amount bigint, status text,
        processor_transaction_id text, error_code text, error_message text, created_at timestamptz,
        updated_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO UPDATE SET
        amount = excluded.amount, status = excluded.status,
        processor_transaction_id = excluded.processor_transaction_id, error_code = excluded.error_code,
        error_message = excluded.error_message, updated_at = excluded.updated_at;
END
$$;

CREATE TABLE refunds (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL,
    merchant_id uuid NOT NULL,
    version bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    status text NOT NULL,
    reason text,
    processor_refund_id text,
    error_code text,
    error_message text,
    outcome_unknown boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX refunds_order_idx ON refunds (order_id, version DESC);

CREATE FUNCTION apply_refunds(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
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
        status = excluded.status, processor_refund_id = excluded.processor_refund_id, error_code = excluded.error_code,
        error_message = excluded.error_message, outcome_unknown = excluded.outcome_unknown,
        updated_at = excluded.updated_at;
END
$$;
