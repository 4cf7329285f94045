-- name: persons
-- Addresses and reservation of persons; details too old to be used are left out unless $2.
select
    pid,
    case when $2 or not stale then email end as email,
    case when $2 or not stale then mobile end as mobile,
    reserved
from contact_person
where pid = any($1::text[]);

-- name: organizations
-- Official addresses of organizations.
select number, emails, mobiles from contact_organization where number = any($1::text[]);

-- name: organization_users
-- Users with addresses for organizations, in the order of the file.
select number, pid, email, mobile from contact_user where number = any($1::text[]) order by number, position;

-- name: authorized
-- Which of the pairs of user and organization hold for one of the resource's names; $4: users without a list hold for all.
select distinct users.pid, users.number
from unnest($1::text[], $2::text[]) as asked (pid, number)
join contact_user users using (pid, number)
where users.resources && $3::text[] or (users.resources is null and $4);

-- name: identities
-- Addresses of external identities, asked in lower case; details too old to be used are left out.
select urn, case when not stale then email end as email, case when not stale then mobile end as mobile
from contact_identity
where urn = any($1::text[]);

-- name: registered_names
-- Registered names of persons and organizations; empty where somebody is known without one.
select pid as number, coalesce(name, '') as name from contact_person where pid = any($1::text[])
union all
select number, coalesce(name, '') from contact_organization where number = any($2::text[]);
