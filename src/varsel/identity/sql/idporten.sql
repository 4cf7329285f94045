-- Person logins: transactions, codes, refresh tokens, sessions.

-- name: person_client
-- Client $1 that people log in to.
select c.id, c.organisation, c.kind, c.settings, c.secret, c.secret_until,
    array(select s.scope from client_scope s join scope k on k.name = s.scope and k.active where s.client_id = c.id) as scopes
from client c
where c.id = $1 and c.active and c.environment = $2 and c.kind in ('idporten', 'ansattporten', 'api_klient');

-- name: insert_transaction
-- Something that a handle stands for, until $6.
insert into oidc_transaction (id, kind, client_id, family, data, expires_at) values ($1, $2, $3, $4, $5::jsonb, $6);

-- name: peek_transaction
-- What a handle of kind $2 stands for, unused, at $3.
select client_id, family, data from oidc_transaction
where id = $1 and kind = $2 and used_at is null and expires_at > $3;

-- name: use_transaction
-- Use a handle of kind $2 for the one time it may be used, at $3; the row decides between many who try.
update oidc_transaction set used_at = $3
where id = $1 and kind = $2 and used_at is null and expires_at > $3
returning client_id, family, data;

-- name: used_family
-- The family of a handle of kind $2 that has been used before.
select family from oidc_transaction where id = $1 and kind = $2 and used_at is not null;

-- name: kill_family
-- Nothing that came of one login counts any more, at $2.
update oidc_transaction set used_at = $2 where family = $1 and used_at is null;

-- name: family_dead
-- Whether a login's marker has been struck out.
select exists (select from oidc_transaction where family = $1 and kind = 'family' and used_at is not null);

-- name: insert_session
-- A session under the HMAC of its handle.
insert into session (id, kind, pid, data, created_at, seen_at, expires_at) values ($1, $2, $3, $4::jsonb, $5, $5, $6);

-- name: see_session
-- A living session of kind $2 at $3, which slides to $4 but never beyond $5 after it began.
update session set seen_at = $3, expires_at = least($4::timestamptz, created_at + $5::interval)
where id = $1 and kind = $2 and expires_at > $3
returning pid, data, created_at, expires_at;

-- name: update_session
-- What a session remembers.
update session set data = $3::jsonb where id = $1 and kind = $2;

-- name: delete_session
-- A session ends.
delete from session where id = $1 and kind = $2 returning pid, data;

-- name: delete_sessions_by_sid
-- Whatever came of the provider's session $1 at issuer $2 ends, the console's as well as Altinn's.
delete from session where data ->> 'sid' = $1 and data ->> 'iss' = $2 returning pid;

-- name: test_people
-- People to choose from, by name.
select pid, name from person order by name, pid limit 200;

-- name: login_locked
-- Until when logins from this source are refused.
select locked_until from login_failure where pid = $1 and locked_until > $2;

-- name: login_failed
-- Count a failed login at $2; the fifth locks until $3. Failures as old as a lock is long are forgotten.
insert into login_failure (pid, failures, last_at) values ($1, 1, $2)
on conflict (pid) do update set
    last_at = $2,
    failures = case when login_failure.last_at <= $2 - ($3::timestamptz - $2) then 1 else login_failure.failures + 1 end,
    locked_until = case when login_failure.last_at > $2 - ($3::timestamptz - $2) and login_failure.failures + 1 >= 5 then $3::timestamptz end
returning locked_until;

-- name: login_succeeded
-- Forget the failures.
delete from login_failure where pid = $1;
