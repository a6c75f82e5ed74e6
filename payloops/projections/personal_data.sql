-- The data keys of merchants.

-- name: wrapped_key
SELECT wrapped FROM merchant_keys WHERE merchant_id = %s;

-- name: destroy
DELETE FROM merchant_keys WHERE merchant_id = %s;
