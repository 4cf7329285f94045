-- The audit trail.

-- name: insert_audit
-- Many events at once.
insert into audit_event (id, actor, organisation, action, subject, details)
select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[]);

-- name: audit_of
-- The latest $2 events of an organisation, newest first; null asks for all.
select id, at, actor, organisation, action, subject, details from audit_event
where ($1::text is null or organisation = $1) order by id desc limit $2;
