-- What one token request needs to know, in one round trip.

-- name: grant_facts
-- Client $1 of environment $2 with its key $3, the scopes $4, what consumer $5 has been given and has delegated, and sub-client $6.
select c.id, c.organisation, c.supplier, c.kind, c.settings ->> 'access_token_lifetime' as lifetime,
    exists (select from client_key k where k.client_id = c.id) as has_keys,
    k.jwk as key_jwk, k.expires_at as key_expires_at,
    o.organisation as onbehalfof,
    (
        select coalesce(json_agg(json_build_object(
            'name', wanted.name,
            'registered', cs.scope is not null and s.name is not null and s.active,
            'attributes', coalesce(s.attributes, '{}'),
            'granted_own', exists (
                select from scope_access a
                where a.scope = wanted.name and a.consumer = coalesce(c.supplier, c.organisation) and a.state = 'APPROVED'),
            'granted_consumer', exists (
                select from scope_access a
                where a.scope = wanted.name and a.state = 'APPROVED'
                and a.consumer = coalesce($5, o.organisation, c.organisation)),
            'delegated', exists (
                select from delegation d
                where d.scope = wanted.name and d.supplier = coalesce(c.supplier, c.organisation)
                and d.consumer = coalesce($5, o.organisation, c.organisation)
                and d.valid_from <= $7 and (d.valid_to is null or d.valid_to > $7))
        )), '[]')::text
        from unnest($4::text[]) as wanted (name)
        left join client_scope cs on cs.client_id = c.id and cs.scope = wanted.name
        left join scope s on s.name = wanted.name
    ) as scopes,
    exists (
        select from unnest($4::text[]) as wanted (name) where $8::text is not null and not exists (
            select from delegation d
            where d.scope = wanted.name and d.supplier = coalesce(c.supplier, c.organisation) and d.consumer = $8
            and d.valid_from <= $7 and (d.valid_to is null or d.valid_to > $7))
    ) as system_user_undelegated
from client c
left join client_key k on k.client_id = c.id and k.kid = $3
left join client_onbehalfof o on o.client_id = c.id and o.name = $6 and o.active
where c.id = $1 and c.active and c.environment = $2;

-- name: use_grants
-- Remember grants; those that come back were not used before.
insert into grant_replay (issuer, key, expires_at)
select * from unnest($1::text[], $2::bytea[], $3::timestamptz[])
on conflict do nothing
returning issuer, key;
