-- Rate limits that all processes share.

-- name: take
SELECT allowed, remaining, wait_s FROM take_rate_limit(%s, %s, %s);
