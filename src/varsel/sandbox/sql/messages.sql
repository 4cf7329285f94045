-- name: keep_messages
-- Keep a group of messages as they came; those whose body is null are read afterwards.
insert into sandbox_message (id, channel, recipient, sender, subject, body, raw, details, received_at)
select id, channel, recipient, sender, subject, body, raw, details::jsonb, received_at
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::timestamptz[])
    as m (id, channel, recipient, sender, subject, body, raw, details, received_at);

-- name: unread_messages
-- The oldest mails whose content has not been read yet, at most $1, and as many as have $2 octets together, but one at least.
select id, raw
from (
    select id, raw, sum(octet_length(raw)) over (order by id) - octet_length(raw) as before
    from (select id, raw from sandbox_message where body is null order by id limit $1) as oldest
) as waiting
where before < $2;

-- name: write_readings
-- Write down what was read out of a group of mails.
update sandbox_message m
set sender = coalesce(r.sender, m.sender), subject = r.subject, body = r.body, html = r.html
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) as r (id, sender, subject, body, html)
where m.id = r.id and m.body is null;

-- name: list_messages
-- Messages of a channel ($1) to a recipient ($2, lower case), each optional, in order of arrival.
select id, channel, recipient, sender, subject, body, html, received_at
from sandbox_message
where ($1::text is null or channel = $1) and ($2::text is null or lower(recipient) = $2)
order by id;

-- name: recent_messages
-- The newest messages of a channel ($1) whose recipient contains $2 (a LIKE pattern), each optional; at most $3, older than $4.
select id, channel, recipient, sender, subject, left(body, 200) as body, received_at
from sandbox_message
where ($1::text is null or channel = $1) and ($2::text is null or lower(recipient) like $2) and ($4::uuid is null or id < $4)
order by id desc
limit $3;

-- name: one_message
-- A message with everything that is kept of it.
select id, channel, recipient, sender, subject, body, html, raw, details, received_at from sandbox_message where id = $1;

-- name: delete_messages
-- Empty the inbox of a channel ($1) and recipient ($2, lower case), each optional.
delete from sandbox_message
where ($1::text is null or channel = $1) and ($2::text is null or lower(recipient) = $2);
