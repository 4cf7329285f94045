-- Self-service: what an organisation sees and changes of its own. Every statement carries the organisation; a foreign row is not found.

-- name: clients_of
-- The integrations of organisation $1 (own, or held for a customer), also deactivated ones when $2; of environment $3 when given.
select c.*, array(select s.scope from client_scope s where s.client_id = c.id order by s.scope) as scopes
from client c
where (c.organisation = $1 or c.supplier = $1) and (c.active or $2) and ($3::text is null or c.environment = $3)
order by c.created_at, c.id;

-- name: client_of
-- One integration of organisation $2.
select c.*, array(select s.scope from client_scope s where s.client_id = c.id order by s.scope) as scopes
from client c where c.id = $1 and (c.organisation = $2 or c.supplier = $2);

-- name: update_client
-- Replace name, description and settings of integration $1 of organisation $2, if still at version $3 (null: any).
update client set name = $4, description = $5, settings = $6::jsonb, version = version + 1, updated_at = $7
where id = $1 and (organisation = $2 or supplier = $2) and active and ($3::bigint is null or version = $3)
returning version;

-- name: deactivate_client
-- Integration $1 of organisation $2 gives no more tokens.
update client set active = false, version = version + 1, updated_at = $3
where id = $1 and (organisation = $2 or supplier = $2) and active returning id;

-- name: set_client_secret
-- A new secret (its HMAC) for integration $1 of organisation $2.
update client set secret = $3, secret_until = $4, version = version + 1, updated_at = $5
where id = $1 and (organisation = $2 or supplier = $2) and active and kind <> 'maskinporten' returning id;

-- name: registrable
-- Of the scopes $2, those that organisation $1 may put on an integration: given to it, open to all, its own, or public and delegable.
select s.name from scope s
where s.name = any($2::text[]) and s.active and (
    s.owner = $1
    or coalesce((s.attributes ->> 'accessible_for_all')::boolean, false)
    or exists (select from scope_access a where a.scope = s.name and a.consumer = $1 and a.state = 'APPROVED')
    or (s.attributes ->> 'visibility' = 'PUBLIC' and s.attributes ->> 'delegation_source' is not null));

-- name: registrable_scopes
-- Every scope that organisation $1 may put on an integration, with why.
select s.name, s.description, s.attributes,
    exists (select from scope_access a where a.scope = s.name and a.consumer = $1 and a.state = 'APPROVED') as granted
from scope s
where s.active and (
    s.owner = $1
    or coalesce((s.attributes ->> 'accessible_for_all')::boolean, false)
    or exists (select from scope_access a where a.scope = s.name and a.consumer = $1 and a.state = 'APPROVED')
    or (s.attributes ->> 'visibility' = 'PUBLIC' and s.attributes ->> 'delegation_source' is not null))
order by s.name;

-- name: onbehalfof_of
-- The sub-clients of integration $1.
select name, organisation, details, active, created_at, updated_at from client_onbehalfof
where client_id = $1 and active order by name;

-- name: insert_onbehalfof
-- A sub-client of integration $1; nothing when the name is taken, also by a deactivated one.
insert into client_onbehalfof (client_id, name, organisation, details, created_at, updated_at)
values ($1, $2, $3, $4::jsonb, $5, $5) on conflict do nothing returning name;

-- name: update_onbehalfof
-- Change a sub-client.
update client_onbehalfof set organisation = $3, details = $4::jsonb, updated_at = $5
where client_id = $1 and name = $2 and active returning name;

-- name: deactivate_onbehalfof
-- A sub-client counts no more.
update client_onbehalfof set active = false, updated_at = $3 where client_id = $1 and name = $2 and active returning name;

-- name: scopes_of
-- The scopes that organisation $1 owns, also deactivated ones when $2.
select * from scope where owner = $1 and (active or $2) order by name;

-- name: public_scopes
-- The public catalogue; with $1 only what is open to all.
select * from scope
where active and coalesce(attributes ->> 'visibility', 'PRIVATE') = 'PUBLIC'
    and (not $1 or coalesce((attributes ->> 'accessible_for_all')::boolean, false))
order by name;

-- name: scope_of
-- One scope, for its owner $2.
select * from scope where name = $1 and owner = $2;

-- name: prefixes_of
-- The prefixes under which organisation $1 makes scopes.
select name from prefix where owner = $1 order by name;

-- name: prefix_owner
-- Whose prefix that is.
select owner from prefix where name = $1;

-- name: update_scope
-- Replace description and attributes of a scope of owner $2, if it last changed at $6 (null: whenever).
update scope set description = $3, attributes = $4::jsonb, updated_at = greatest($5, updated_at + interval '1 microsecond')
where name = $1 and owner = $2 and active and ($6::timestamptz is null or updated_at = $6) returning name;

-- name: deactivate_scope
-- A scope of owner $2 goes out of use; accesses to it stay.
update scope set active = false, updated_at = $3 where name = $1 and owner = $2 and active returning name;

-- name: withdraw_access
-- Consumer $2 may no longer use scope $1.
update scope_access set state = 'DENIED', updated_at = $3
where scope = $1 and consumer = $2 and state <> 'DENIED' returning scope;

-- name: accesses_to
-- Who has been given scope $1, with names.
select a.*, s.owner, o.name as consumer_name
from scope_access a join scope s on s.name = a.scope join organisation o on o.number = a.consumer
where a.scope = $1 order by a.consumer;

-- name: accesses_of
-- What organisation $1 has been given, with the names of the owners.
select a.*, s.owner, s.description, s.active, o.name as owner_name
from scope_access a join scope s on s.name = a.scope join organisation o on o.number = s.owner
where a.consumer = $1 order by a.scope;
