-- What one token request needs to know, in one round trip.

-- name: grant_facts
-- For each of several requests ($1, an array of objects, answered by position): the client of environment $2 with the key named,
-- the scopes wanted, what the consumer has been given and has delegated at $3, and the sub-client named.
select r.position, c.id, c.organisation, c.supplier, c.kind, c.settings ->> 'access_token_lifetime' as lifetime,
    exists (select from client_key k where k.client_id = c.id) as has_keys,
    k.jwk as key_jwk, k.expires_at as key_expires_at,
    o.organisation as onbehalfof,
    (
        select json_agg(json_build_object(
            'name', wanted.name,
            'registered', cs.scope is not null and s.name is not null and s.active,
            'attributes', coalesce(s.attributes, '{}'),
            'granted_own', exists (
                select from scope_access a
                where a.scope = wanted.name and a.consumer = coalesce(c.supplier, c.organisation)
                and a.state = 'APPROVED'),
            'granted_consumer', exists (
                select from scope_access a
                where a.scope = wanted.name and a.consumer = coalesce(r.consumer, o.organisation, c.organisation)
                and a.state = 'APPROVED'),
            'delegated', exists (
                select from delegation d
                where d.scope = wanted.name and d.supplier = coalesce(c.supplier, c.organisation)
                and d.consumer = coalesce(r.consumer, o.organisation, c.organisation)
                and d.valid_from <= $3 and (d.valid_to is null or d.valid_to > $3))
        ))::text
        from unnest(r.scopes) as wanted (name)
        left join client_scope cs on cs.client_id = c.id and cs.scope = wanted.name
        left join scope s on s.name = wanted.name
    ) as scopes,
    r.machine_user is not null and exists (
        select from unnest(r.scopes) as wanted (name) where not exists (
            select from delegation d
            where d.scope = wanted.name and d.supplier = coalesce(c.supplier, c.organisation)
            and d.consumer = r.machine_user
            and d.valid_from <= $3 and (d.valid_to is null or d.valid_to > $3))
    ) as machine_user_undelegated
from jsonb_to_recordset($1::jsonb) as r (
    position int, client uuid, kid text, scopes text[], consumer text, onbehalfof text, machine_user text)
join client c on c.id = r.client and c.active and c.environment = $2
left join client_key k on k.client_id = c.id and k.kid = r.kid
left join client_onbehalfof o on o.client_id = c.id and o.name = r.onbehalfof and o.active;

-- name: use_grants
-- Remember grants ($1 to $3) and write the trail in the same commit: event $4… of those not used before, event $8… of the others.
-- The positions that come back were not used before.
with used as (
    insert into grant_replay (issuer, key, expires_at)
    select issuer, key, expires_at from unnest($1::text[], $2::bytea[], $3::timestamptz[]) as g (issuer, key, expires_at)
    on conflict do nothing
    returning issuer, key
), outcome as (
    select e.*, u.key is not null and e.first as won
    from unnest($4::text[], $5::bytea[], $6::boolean[], $7::uuid[], $8::text[], $9::text[], $10::jsonb[])
        with ordinality as e (issuer, key, first, id, organisation, action, details, position)
    left join used u on u.issuer = e.issuer and u.key = e.key
), trail as (
    insert into audit_event (id, actor, organisation, action, subject, details)
    select id, issuer, organisation, case when won then action else 'token.refused' end, issuer,
        case when won then details else '{"code": "MP-012"}' end
    from outcome
)
select (position - 1)::int as position from outcome where won;

-- name: use_one_grant
-- Remember one assertion of $1; its name when it was not used before.
insert into grant_replay (issuer, key, expires_at) values ($1, $2, $3) on conflict do nothing returning issuer;
