-- Organisations, service owners, scopes, integrations and their keys.

-- name: insert_organisation
-- An organisation, unless it is there.
insert into organisation (number, name) values ($1, $2) on conflict (number) do nothing;

-- name: upsert_service_owner
-- A service owner by its code; names and number follow the latest call.
insert into service_owner (code, number, name_nb, name_nn, name_en, details)
values ($1, $2, $3, $4, $5, $6::jsonb)
on conflict (code) do update set number = excluded.number, name_nb = excluded.name_nb, name_nn = excluded.name_nn,
    name_en = excluded.name_en, details = service_owner.details || excluded.details;

-- name: service_owners
-- Every service owner, by code.
select code, number, name_nb, name_nn, name_en, details from service_owner order by code;

-- name: codes_of
-- The codes of organisation numbers.
select number, code from service_owner where number = any($1::text[]);

-- name: number_of
-- Number and Norwegian name of a service owner's code.
select number, name_nb from service_owner where code = $1;

-- name: insert_prefix
-- A scope prefix and its owner, unless it is there; its name when it was made.
insert into prefix (name, owner) values ($1, $2) on conflict (name) do nothing returning name;

-- name: prefixes
-- Every scope prefix with its owner's number and name.
select p.name, p.owner, o.name as owner_name from prefix p join organisation o on o.number = p.owner order by p.name;

-- name: insert_scope
-- A scope, unless it is there; its name when it was made.
insert into scope (name, prefix, subscope, description, owner, attributes)
values ($1, $2, $3, $4, $5, $6::jsonb) on conflict (name) do nothing returning name;

-- name: grant_scope
-- Consumer $2 may use scope $1 from $3 on.
insert into scope_access (scope, consumer, state, created_at, updated_at) values ($1, $2, 'APPROVED', $3, $3)
on conflict (scope, consumer) do update set state = 'APPROVED', updated_at = excluded.updated_at;

-- name: insert_client
-- An integration.
insert into client (id, environment, organisation, supplier, kind, name, description, settings, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $9);

-- name: insert_client_scopes
-- Scopes $2 of client $1.
insert into client_scope (client_id, scope) select $1, unnest($2::text[]) on conflict do nothing;

-- name: delete_client_scopes
-- The scopes of client $1 go away, to be replaced.
delete from client_scope where client_id = $1;

-- name: touch_keys
-- The key set of client $1 changes at $3, if it still has version $2 (null: whatever it has); its new version.
update client set keys_version = keys_version + 1, updated_at = $3
where id = $1 and ($2::bigint is null or keys_version = $2) returning keys_version;

-- name: delete_keys
-- The keys of client $1 go away: all, or only kid $2.
delete from client_key where client_id = $1 and ($2::text is null or kid = $2);

-- name: insert_keys
-- Keys of client $1.
insert into client_key (client_id, kid, jwk, thumbprint, created_at, expires_at)
select $1, * from unnest($2::text[], $3::jsonb[], $4::bytea[], $5::timestamptz[], $6::timestamptz[])
on conflict (client_id, kid) do update
set jwk = excluded.jwk, thumbprint = excluded.thumbprint, created_at = excluded.created_at, expires_at = excluded.expires_at;

-- name: keys_of
-- The keys of client $1, oldest first.
select kid, jwk, thumbprint, created_at, expires_at from client_key where client_id = $1 order by created_at, kid;

-- name: other_moduli
-- Every registered modulus but those of $1.
select distinct jwk ->> 'n' as n from client_key where thumbprint <> all($1::bytea[]);

-- name: insert_person
-- A person, unless there; a name fills in one that was missing.
insert into person (pid, name, party_uuid) values ($1, $2, $3)
on conflict (pid) do update set name = excluded.name where person.name = '' and excluded.name <> '';

-- name: person_of
-- A person by national number.
select pid, name, user_id, party_id, party_uuid, username from person where pid = $1;

-- name: delegate
-- Consumer $1 lets supplier $2 use scope $3 from $4 until $5.
insert into delegation (consumer, supplier, scope, valid_from, valid_to) values ($1, $2, $3, $4, $5)
on conflict (consumer, supplier, scope) do update set valid_from = excluded.valid_from, valid_to = excluded.valid_to;

-- name: end_delegation
-- The delegation ends at $4.
update delegation set valid_to = $4
where consumer = $1 and supplier = $2 and scope = $3 and (valid_to is null or valid_to > $4);

-- name: delegations
-- Delegations from or to organisation $1 that count at $2, with the names of both sides.
select d.consumer, c.name as consumer_name, d.supplier, s.name as supplier_name, d.scope, d.valid_from, d.valid_to
from delegation d join organisation c on c.number = d.consumer join organisation s on s.number = d.supplier
where (d.consumer = $1 or d.supplier = $1) and (d.valid_to is null or d.valid_to > $2) order by d.scope, c.name, s.name;

-- name: living_delegations
-- Delegations that count at $1, with the names of both sides.
select d.consumer, c.name as consumer_name, d.supplier, s.name as supplier_name, d.scope, d.valid_from, d.valid_to
from delegation d join organisation c on c.number = d.consumer join organisation s on s.number = d.supplier
where d.valid_to is null or d.valid_to > $1 order by c.name, s.name, d.scope;

-- name: delegable_scopes
-- Scopes whose owner lets them be delegated.
select name from scope where active and attributes ->> 'delegation_source' is not null order by name;

-- name: upsert_membership
-- Person $1 has role $3 for organisation $2 (null: the platform).
insert into membership (pid, organisation, role) values ($1, $2, $3) on conflict do nothing returning pid;

-- name: delete_membership
-- Person $1 has role $3 for organisation $2 (null: the platform) no longer.
delete from membership where pid = $1 and organisation is not distinct from $2 and role = $3 returning pid;

-- name: members
-- Everybody with a role, operators first, then by organisation.
select m.pid, p.name, m.organisation, o.name as organisation_name, m.role, m.created_at
from membership m left join person p on p.pid = m.pid left join organisation o on o.number = m.organisation
order by m.role, o.name, m.organisation, p.name, m.pid;

-- name: count_operators
-- How many people operate the platform.
select count(*) from membership where role = 'operator';

-- name: knows_organisation
-- Whether organisation $1 is registered.
select exists (select from organisation where number = $1);

-- name: organisations
-- Every organisation with its service owner's code, null for those that are none, by name.
select o.number, o.name, s.code from organisation o left join service_owner s on s.number = o.number order by o.name, o.number;

-- name: pid_of_user
-- The national number of an Altinn user.
select pid from person where user_id = $1;
