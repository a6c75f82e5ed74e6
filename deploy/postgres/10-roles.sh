#!/usr/bin/env bash
# Run once, by the Postgres image, on an empty data directory: the service's two roles and its database, and Temporal's.
# The owner runs migrations; the application's role owns nothing, so the database itself refuses it any change of the log.
set -euo pipefail

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set owner_password="$PAYLOOPS_OWNER_PASSWORD" --set app_password="$PAYLOOPS_APP_PASSWORD" \
  --set temporal_password="$TEMPORAL_DB_PASSWORD" <<'SQL'
CREATE ROLE payloops_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE payloops_app LOGIN PASSWORD :'app_password';
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE payloops OWNER payloops_owner;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE payloops, temporal, temporal_visibility FROM PUBLIC;
GRANT CONNECT ON DATABASE payloops TO payloops_owner, payloops_app;
SQL
# What Temporal's search attributes are indexed with; its own role may not make extensions.
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname temporal_visibility \
  --command 'CREATE EXTENSION IF NOT EXISTS btree_gin'
