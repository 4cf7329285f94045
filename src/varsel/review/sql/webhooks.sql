-- name: lock_webhooks
-- One registration of a creator at a time, so that the limit holds.
select pg_advisory_xact_lock(hashtextextended('webhook/' || $1, 0));

-- name: add_webhook
-- A new endpoint, unless the creator has $7 already.
insert into webhook (id, creator, url, events, secret, created_at)
select $1, $2, $3, $4, $5, $6 where (select count(*) from webhook where creator = $2) < $7
returning id;

-- name: webhooks
-- The endpoints of a creator, oldest first; one of them where $2 names it.
select id, url, events, created_at, previous_until, failing_since, disabled_at, disabled_why from webhook
where creator = $1 and ($2::uuid is null or id = $2) order by created_at, id;

-- name: test_webhook
-- Let an endpoint be told of a test.
insert into webhook_event (webhook_id, type, at) select id, 'webhook.test', $3 from webhook where id = $1 and creator = $2
returning id;

-- name: rotate_webhook
-- A new secret; the old one signs beside it for $4.
update webhook set previous = secret, previous_until = clock_timestamp() + $4::interval, secret = $3
where id = $1 and creator = $2
returning id, url, events, created_at, previous_until, failing_since, disabled_at, disabled_why;

-- name: delete_webhook
-- An endpoint goes, with what waits for it and what was tried.
delete from webhook where id = $1 and creator = $2 returning id;

-- name: webhook_attempts
-- The latest tries of an endpoint.
select a.message_id, a.type, a.at, a.status, a.detail, a.took_ms from webhook_attempt a
where a.webhook_id = $1 order by a.at desc, a.id desc limit $2;
