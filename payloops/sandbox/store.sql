-- The sandbox's state in SQLite. Bodies are JSON in the processors' own shapes; `hidden` holds what only the simulator
-- knows of a document (the test card behind a payment method, the idempotency key that made a payment).

-- name: schema
CREATE TABLE IF NOT EXISTS accounts (
    account   TEXT PRIMARY KEY,
    processor TEXT NOT NULL,
    secret    TEXT,
    created_s INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS documents (
    seq       INTEGER PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    account   TEXT NOT NULL,
    kind      TEXT NOT NULL,
    parent    TEXT,
    created_s INTEGER NOT NULL,
    body      BLOB NOT NULL,
    hidden    BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS documents_by_kind ON documents (account, kind, seq);
CREATE INDEX IF NOT EXISTS documents_by_parent ON documents (parent, kind, seq) WHERE parent IS NOT NULL;

-- What a document can be found by beside its id: Stripe's metadata, Razorpay's receipts.
CREATE TABLE IF NOT EXISTS labels (
    account TEXT NOT NULL,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (account, kind, name, value, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labels_by_document ON labels (seq);

CREATE TABLE IF NOT EXISTS replies (
    account     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    request_id  TEXT NOT NULL,
    status      INTEGER NOT NULL,
    body        BLOB NOT NULL,
    created_s   INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS calls (
    account   TEXT NOT NULL,
    operation TEXT NOT NULL,
    count     INTEGER NOT NULL,
    PRIMARY KEY (account, operation)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS faults (
    seq       INTEGER PRIMARY KEY,
    account   TEXT NOT NULL,
    operation TEXT NOT NULL,
    mode      TEXT NOT NULL,
    remaining INTEGER NOT NULL,
    wait_ms   INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS faults_by_operation ON faults (account, operation, seq);

-- AUTOINCREMENT here and below: the courier and the agenda hold the numbers of rows that may be forgotten meanwhile, so
-- a number must never mean another row later.
CREATE TABLE IF NOT EXISTS deliveries (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    account     TEXT NOT NULL,
    event_id    TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    due_ms      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event_id);
CREATE INDEX IF NOT EXISTS deliveries_by_account ON deliveries (account);

CREATE TABLE IF NOT EXISTS appointments (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    due_ms  INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS appointments_by_account ON appointments (account);

-- name: account_get
SELECT account, processor, secret, created_s FROM accounts WHERE account = :account;

-- name: account_add
INSERT INTO accounts (account, processor, secret, created_s)
VALUES (:account, :processor, :secret, :created_s)
ON CONFLICT (account) DO UPDATE SET secret = coalesce(accounts.secret, excluded.secret)
RETURNING account, processor, secret, created_s;

-- name: document_add
INSERT INTO documents (id, account, kind, parent, created_s, body, hidden)
VALUES (:id, :account, :kind, :parent, :created_s, :body, :hidden);

-- name: document_save
UPDATE documents SET body = :body, hidden = :hidden WHERE seq = :seq;

-- name: document_delete
DELETE FROM documents WHERE seq = :seq;

-- name: document_get
SELECT seq, id, account, kind, parent, created_s, body, hidden FROM documents WHERE id = :id;

-- name: documents_of_kind
SELECT seq, id, account, kind, parent, created_s, body, hidden
FROM documents
WHERE account = :account AND kind = :kind AND seq < :below AND seq > :above
  AND created_s BETWEEN :created_from_s AND :created_to_s
ORDER BY seq DESC
LIMIT :limit OFFSET :skip;

-- The page that lies next to a cursor on its newer side; oldest first.
-- name: documents_of_kind_upwards
SELECT seq, id, account, kind, parent, created_s, body, hidden
FROM documents
WHERE account = :account AND kind = :kind AND seq < :below AND seq > :above
  AND created_s BETWEEN :created_from_s AND :created_to_s
ORDER BY seq
LIMIT :limit OFFSET :skip;

-- name: documents_of_parent
SELECT seq, id, account, kind, parent, created_s, body, hidden
FROM documents
WHERE parent = :parent AND account = :account AND kind = :kind AND seq < :below AND seq > :above
  AND created_s BETWEEN :created_from_s AND :created_to_s
ORDER BY seq DESC
LIMIT :limit OFFSET :skip;

-- name: documents_of_parent_upwards
SELECT seq, id, account, kind, parent, created_s, body, hidden
FROM documents
WHERE parent = :parent AND account = :account AND kind = :kind AND seq < :below AND seq > :above
  AND created_s BETWEEN :created_from_s AND :created_to_s
ORDER BY seq
LIMIT :limit OFFSET :skip;

-- name: documents_of_label
SELECT d.seq, d.id, d.account, d.kind, d.parent, d.created_s, d.body, d.hidden
FROM labels l JOIN documents d ON d.seq = l.seq
WHERE l.account = :account AND l.kind = :kind AND l.name = :name AND l.value = :value
ORDER BY d.seq DESC
LIMIT :limit;

-- name: label_add
INSERT OR IGNORE INTO labels (account, kind, name, value, seq) VALUES (:account, :kind, :name, :value, :seq);

-- name: labels_delete
DELETE FROM labels WHERE seq = :seq;

-- name: reply_get
SELECT fingerprint, request_id, status, body FROM replies WHERE account = :account AND key = :key;

-- name: reply_add
INSERT INTO replies (account, key, fingerprint, request_id, status, body, created_s)
VALUES (:account, :key, :fingerprint, :request_id, :status, :body, :created_s);

-- name: replies_prune
DELETE FROM replies WHERE created_s < :before_s;

-- name: call_count
INSERT INTO calls (account, operation, count) VALUES (:account, :operation, 1)
ON CONFLICT (account, operation) DO UPDATE SET count = count + 1;

-- name: calls_get
SELECT operation, count FROM calls WHERE account = :account ORDER BY operation;

-- name: fault_add
INSERT INTO faults (account, operation, mode, remaining, wait_ms)
VALUES (:account, :operation, :mode, :times, :wait_ms);

-- name: fault_first
SELECT seq, mode, remaining, wait_ms FROM faults
WHERE account = :account AND operation = :operation ORDER BY seq LIMIT 1;

-- name: fault_spend
UPDATE faults SET remaining = remaining - 1 WHERE seq = :seq;

-- name: fault_delete
DELETE FROM faults WHERE seq = :seq;

-- name: faults_get
SELECT operation, mode, remaining FROM faults WHERE account = :account ORDER BY seq;

-- name: delivery_add
INSERT INTO deliveries (account, event_id, endpoint_id, due_ms, attempt)
VALUES (:account, :event_id, :endpoint_id, :due_ms, 0);

-- name: delivery_get
SELECT attempt FROM deliveries WHERE seq = :seq;

-- name: delivery_postpone
UPDATE deliveries SET due_ms = :due_ms, attempt = :attempt WHERE seq = :seq;

-- name: delivery_delete
DELETE FROM deliveries WHERE seq = :seq;

-- name: deliveries_of_event
SELECT count(*) FROM deliveries WHERE event_id = :event_id;

-- name: deliveries_pending
SELECT seq, event_id, endpoint_id, due_ms FROM deliveries ORDER BY due_ms, seq;

-- name: appointment_add
INSERT INTO appointments (account, action, subject, due_ms) VALUES (:account, :action, :subject, :due_ms);

-- name: appointment_get
SELECT account, action, subject FROM appointments WHERE seq = :seq;

-- name: appointment_delete
DELETE FROM appointments WHERE seq = :seq;

-- name: appointments_pending
SELECT seq, due_ms FROM appointments ORDER BY due_ms, seq;

-- name: forget
DELETE FROM labels WHERE account = :account;
DELETE FROM documents WHERE account = :account;
DELETE FROM replies WHERE account = :account;
DELETE FROM calls WHERE account = :account;
DELETE FROM faults WHERE account = :account;
DELETE FROM deliveries WHERE account = :account;
DELETE FROM appointments WHERE account = :account;
DELETE FROM accounts WHERE account = :account;

-- name: events_prune
DELETE FROM documents
WHERE kind = 'event' AND created_s < :before_s AND id NOT IN (SELECT event_id FROM deliveries);
