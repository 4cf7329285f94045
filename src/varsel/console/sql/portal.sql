-- What the portal's lists show beside the integrations themselves.

-- name: key_facts
-- How many keys each of the integrations $1 has, and when the last of them ends.
select client_id, count(*) as keys, max(expires_at) as ends from client_key where client_id = any($1::uuid[]) group by client_id;
