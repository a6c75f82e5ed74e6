-- The log of all events. Columns as the eventsourcing library has them, so that its own recorder can read it; ours adds
-- recorded_at. Rows are only ever added.
CREATE TABLE stored_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL CHECK (originator_version > 0),
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
-- Gapless and in commit order: append_batch numbers events under the lock of log_head.
CREATE UNIQUE INDEX stored_events_notification_id_idx ON stored_events (notification_id);

-- One row: the position of the last event. Its lock puts all appends in one order.
CREATE TABLE log_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    position bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO log_head (position) VALUES (0);

-- The log can't be changed by anybody, its owner included; erasing a person is destroying a key (merchant_keys).
CREATE FUNCTION refuse_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'stored_events is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER stored_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_log_change();
ALTER TABLE stored_events ENABLE ALWAYS TRIGGER stored_events_append_only;

-- Values that only one stream may hold (an e-mail address), claimed in the transaction of the event that takes them.
CREATE TABLE claims (
    claim text PRIMARY KEY,
    owner uuid NOT NULL
);

-- What a request with an Idempotency-Key did and answered. id is a hash of merchant, method, path and key.
CREATE TABLE idempotency_keys (
    id uuid PRIMARY KEY,
    merchant_id uuid NOT NULL,
    request_hash text NOT NULL,
    response_status integer NOT NULL,
    response_body text NOT NULL,
    -- the body holds a secret and is kept encrypted
    response_sealed boolean NOT NULL DEFAULT false,
    -- the first request still waits for the outcome; after this time its first answer stands
    in_flight_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys USING brin (created_at);

-- Each merchant's data key, wrapped by ENCRYPTION_KEY. Destroying the row makes the merchant's sealed personal data unreadable.
CREATE TABLE merchant_keys (
    merchant_id uuid PRIMARY KEY,
    wrapped text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
