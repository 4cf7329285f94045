-- What the portal's lists show beside the integrations themselves.

-- name: scope_facts
-- How many organisations may use each of the scopes $1.
select scope, count(*) as consumers from scope_access where scope = any($1::text[]) and state = 'APPROVED' group by scope;

-- name: key_facts
-- How many keys each of the integrations $1 has, and when the last of them ends.
select client_id, count(*) as keys, max(expires_at) as ends from client_key where client_id = any($1::uuid[]) group by client_id;
