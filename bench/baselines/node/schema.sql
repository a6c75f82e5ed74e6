-- The tables of the three-round-trips baseline: an order is one row that is written and later overwritten.
CREATE TABLE merchants (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    name text NOT NULL
);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    merchant_id uuid NOT NULL REFERENCES merchants (id),
    key_hash text NOT NULL UNIQUE,
    revoked_at timestamptz,
    last_used_at timestamptz
);

CREATE TABLE orders (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    merchant_id uuid NOT NULL REFERENCES merchants (id),
    external_id text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    customer_id text,
    description text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_merchant_idx ON orders (merchant_id, created_at DESC);
