-- name: store_contact_person
-- Replace what is known of a person.
insert into contact_person (pid, name, email, mobile, reserved, stale)
values ($1, $2, $3, $4, $5, $6)
on conflict (pid) do update
set name = excluded.name, email = excluded.email, mobile = excluded.mobile, reserved = excluded.reserved, stale = excluded.stale;

-- name: store_contact_identity
-- Replace what is known of somebody with a URN.
insert into contact_identity (urn, name, email, mobile, reserved, stale)
values ($1, $2, $3, $4, $5, $6)
on conflict (urn) do update
set name = excluded.name, email = excluded.email, mobile = excluded.mobile, reserved = excluded.reserved, stale = excluded.stale;

-- name: store_contact_organization
-- Replace what is known of an organization.
insert into contact_organization (number, name, emails, mobiles)
values ($1, $2, $3, $4)
on conflict (number) do update
set name = excluded.name, emails = excluded.emails, mobiles = excluded.mobiles;

-- name: forget_contact_users
-- Forget who represents these organizations.
delete from contact_user where number = any($1);

-- name: store_contact_user
-- Somebody who represents an organization.
insert into contact_user (number, position, pid, email, mobile, resources)
values ($1, $2, $3, $4, $5, $6);
