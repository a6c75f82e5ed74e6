-- What the application's role may do. Run after the migrations, as the owner; {app}, {owner} and {schema} are identifiers.

-- name: tables
SELECT c.relname
  FROM pg_class AS c
 WHERE c.relnamespace = %(schema)s::regnamespace
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND pg_has_role(c.relowner, 'USAGE')
 ORDER BY c.relname

-- name: schema_wide
GRANT USAGE ON SCHEMA {schema} TO {app};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {app};
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA {schema} TO {app};
ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app};
ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {app};
ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT EXECUTE ON ROUTINES TO {app};

-- name: append_only
REVOKE ALL ON {table} FROM {app};
GRANT SELECT, INSERT ON {table} TO {app};

-- name: read_only
REVOKE ALL ON {table} FROM {app};
GRANT SELECT ON {table} TO {app};

-- name: read_write
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {app};
