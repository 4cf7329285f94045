-- The audit trail.

-- name: insert_audit
-- Many events at once.
insert into audit_event (id, actor, organisation, action, subject, details)
select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[]);

-- name: audit_of
-- The latest $2 events of an organisation, newest first, older than event $3; null asks for all organisations, and from the newest.
select id, at, actor, organisation, action, subject, details from audit_event
where ($1::text is null or organisation = $1) and ($3::uuid is null or id < $3) order by id desc limit $2;
