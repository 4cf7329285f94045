-- name: waiting_webhooks
-- Endpoints for which something waits and which nobody tells anything. Events of the endpoints $1 are looked for behind the places ($2, $3).
select w.id
from webhook w
    left join unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) as p (webhook_id, next_at, id) on p.webhook_id = w.id
where (w.teller is null or w.telling_until < statement_timestamp())
    and exists (select from webhook_event
        where webhook_id = w.id and owner is null and next_at <= statement_timestamp()
            and (next_at, id) > (coalesce(p.next_at, '-infinity'), coalesce(p.id, '00000000-0000-0000-0000-000000000000'))
            and ((w.disabled_at is null and coalesce(w.rest_until <= statement_timestamp(), true)) or type = 'webhook.test'));

-- name: lock_webhooks
-- Those of the endpoints $1 that still nobody tells anything, at most $2.
select id from webhook where id = any($1::uuid[]) and (teller is null or telling_until < statement_timestamp())
limit $2 for no key update skip locked;

-- name: take_webhooks
-- From now on owner $2 tells the locked endpoints $1 something, for time $3.
update webhook set teller = $2, telling_until = statement_timestamp() + $3::interval where id = any($1::uuid[]);

-- name: leave_webhook
-- Endpoint $1 may be told something by others than owner $2.
update webhook set teller = null, telling_until = null where id = $1 and teller = $2;

-- name: claim_webhook_events
-- Take up to $1 events of each of the endpoints $4 for owner $2 and time $3, behind the places ($5, $6); of one that is off or rests after
-- a failure only tests. An event of the feed brings its entry, any other the order and message it tells of, with texts as the JSON that
-- they become.
with chosen as (
    select e.id
    from unnest($4::uuid[], $5::timestamptz[], $6::uuid[]) as p (webhook_id, next_at, id)
        join webhook w on w.id = p.webhook_id
        cross join lateral (
            select id from webhook_event
            where webhook_id = w.id and owner is null and next_at <= statement_timestamp()
                and (next_at, id) > (p.next_at, p.id)
                and ((w.disabled_at is null and coalesce(w.rest_until <= statement_timestamp(), true)) or type = 'webhook.test')
            order by next_at, id limit $1 for update skip locked) e
    limit 1000
), taken as (
    update webhook_event set owner = $2, lease_until = statement_timestamp() + $3::interval
    where id = any(array(select id from chosen)) returning *
)
select t.id, t.webhook_id, t.next_at, t.type, t.seq, t.order_id, t.notification_id, t.status, t.at, t.tries, w.failures, w.url, w.secret,
    case when w.previous_until > statement_timestamp() then w.previous end as previous, f.entry,
    convert_to(to_json(o.senders_reference)::text, 'UTF8') as senders_reference, n.channel,
    convert_to(to_json(n.address)::text, 'UTF8') as address
from taken t join webhook w on w.id = t.webhook_id
    left join feed f on f.creator = w.creator and f.seq = t.seq
    left join orders o on o.id = t.order_id and t.seq is null
    left join notification n on n.order_id = t.order_id and n.id = t.notification_id
order by t.webhook_id, t.next_at, t.id;

-- name: release_lapsed_webhook_events
-- Events whose lease ran out wait again.
update webhook_event set owner = null, lease_until = null
where id = any(array(select id from webhook_event where owner is not null and lease_until < statement_timestamp() limit 1000
    for update skip locked));

-- name: leave_webhook_events
-- Everything that owner $1 holds waits again.
with left_alone as (
    update webhook set teller = null, telling_until = null where teller = $1
)
update webhook_event set owner = null, lease_until = null where owner = $1;

-- name: release_webhook_events
-- Events $1 of owner $2 wait again, without having been tried.
update webhook_event set owner = null, lease_until = null where id = any($1::uuid[]) and owner = $2;

-- name: told
-- An endpoint has taken an event: what was wrong with it is over, and a test that succeeds turns it on again.
with gone as (
    delete from webhook_event where id = $1 returning webhook_id, type
), well as (
    update webhook w set failing_since = null, failures = 0, rest_until = null, disabled_at = null, disabled_why = null
    from gone g where w.id = g.webhook_id and (w.failing_since is not null or (w.disabled_at is not null and g.type = 'webhook.test'))
)
insert into webhook_attempt (id, webhook_id, message_id, type, status, detail, took_ms)
select uuidv7(), webhook_id, $2, type, $3, $4, $5 from gone;

-- name: not_told
-- An endpoint has not taken an event: tried again after $6, or given up when that is null. An endpoint that has failed for $7, or says
-- that it is gone ($8), is turned off with its reason; any other rests for $10.
with tried as (
    update webhook_event set tries = tries + 1, owner = null, lease_until = null,
        next_at = clock_timestamp() + coalesce($6::interval, interval '0')
    where id = $1 and $6::interval is not null and type <> 'webhook.test' returning webhook_id, type
), dropped as (
    delete from webhook_event where id = $1 and ($6::interval is null or type = 'webhook.test') returning webhook_id, type
), one as (
    select * from tried union all select * from dropped
), ill as (
    update webhook w set failing_since = coalesce(w.failing_since, clock_timestamp()), failures = w.failures + 1,
        rest_until = clock_timestamp() + $10::interval,
        disabled_at = case when w.disabled_at is null and ($8 or w.failing_since <= clock_timestamp() - $7::interval)
            then clock_timestamp() else w.disabled_at end,
        disabled_why = case when w.disabled_at is null and ($8 or w.failing_since <= clock_timestamp() - $7::interval)
            then $9 || $4 else w.disabled_why end
    from one where w.id = one.webhook_id and one.type <> 'webhook.test'
    returning w.id, w.disabled_at is not null as disabled
), attempted as (
    insert into webhook_attempt (id, webhook_id, message_id, type, status, detail, took_ms)
    select uuidv7(), webhook_id, $2, type, $3, $4, $5 from one
)
select coalesce(bool_or(disabled), false) from ill;

-- name: drop_webhook_events
-- An endpoint was turned off: the feed has what it would have been told.
delete from webhook_event where webhook_id = $1 and type <> 'webhook.test';

-- name: forget_webhook_attempts
-- Attempts older than $1, and events that nobody will be told any more, because their endpoint is off or they are older than $2.
with old as (
    delete from webhook_attempt where at < statement_timestamp() - $1::interval
)
delete from webhook_event where created_at < statement_timestamp() - $2::interval and owner is null;

-- name: tell_unsendable
-- Messages that end as they are made, as nothing of them can be sent, are a change to those who want every change.
insert into webhook_event (webhook_id, type, order_id, notification_id, status, at)
select h.id, 'message.changed', m.order_id, m.id, m.status, $5
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) as m (order_id, id, creator, status)
    join webhook h on h.creator = m.creator and h.disabled_at is null and 'message.changed' = any(h.events);
