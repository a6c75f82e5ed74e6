-- The runner's own table. The latest row says which release's schema this is.

-- name: create_ledger
CREATE TABLE IF NOT EXISTS schema_migrations (
    version     integer     PRIMARY KEY,
    slug        text        NOT NULL,
    checksum    text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    duration_ms integer     NOT NULL
)

-- name: ledger_exists
SELECT to_regclass('schema_migrations') IS NOT NULL

-- name: applied
SELECT version, slug, checksum FROM schema_migrations ORDER BY version

-- name: record
INSERT INTO schema_migrations (version, slug, checksum, duration_ms)
VALUES (%(version)s, %(slug)s, %(checksum)s, %(duration_ms)s)

-- name: lock
SELECT pg_advisory_lock(hashtextextended('payloops.schema_migrations', 0))

-- name: unlock
SELECT pg_advisory_unlock(hashtextextended('payloops.schema_migrations', 0))

-- name: app_role_exists
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s)
