-- name: take_dry_run
-- Count a dry run of scope $1 in slice $2; no row when its budget $3 is used up.
insert into rate_limit (scope, slice, used) values ($1, $2, 1)
on conflict (scope, slice) do update set used = rate_limit.used + 1
where rate_limit.used < $3
returning used;

-- name: audit_dry_run
-- Note who tried what; never whom it concerned.
insert into audit_event (id, actor, organisation, action, subject, details)
values ($1, $2, $3, 'orders.dry-run', $4, $5::jsonb);
