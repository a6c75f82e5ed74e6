-- name: credentials
SELECT credentials
FROM processor_configs
WHERE merchant_id = %s AND processor = %s AND removed_at IS NULL AND credentials IS NOT NULL;

-- name: configuration
SELECT credentials, test_mode
FROM processor_configs
WHERE merchant_id = %s AND processor = %s AND removed_at IS NULL AND credentials IS NOT NULL;
