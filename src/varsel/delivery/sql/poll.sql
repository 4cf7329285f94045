-- name: claim_polls
-- Take up to $2 accepted messages of providers $1 that are to be asked about now; $3 is when they are asked again if nobody comes back.
update awaiting set poll_at = clock_timestamp() + $3::interval
where notification_id = any(array(
    select notification_id from awaiting where poll_at <= clock_timestamp() and provider = any($1::text[])
    order by poll_at limit $2 for update skip locked))
returning notification_id, order_id, provider, reference, polls;

-- name: poll_again
-- Messages about which nothing is known yet are asked about again after $2, never when that is null.
update awaiting a set polls = polls + 1, poll_at = clock_timestamp() + w.pause
from unnest($1::uuid[], $2::interval[]) as w (id, pause)
where a.notification_id between w.id and w.id;

-- name: passed_on
-- The provider has sent messages on; their reports decide now.
with quiet as (
    update awaiting set poll_at = null where notification_id = any($2::uuid[])
), moved as (
    update notification n set status = 'Succeeded', rank = 20, status_at = $3
    from unnest($1::uuid[], $2::uuid[]) as w (order_id, id)
    where n.order_id = w.order_id and n.id = w.id and n.rank < 20
    returning n.order_id, n.id, n.creator
)
insert into webhook_event (webhook_id, type, order_id, notification_id, status, at)
select h.id, 'message.changed', m.order_id, m.id, 'Succeeded', $3
from moved m join webhook h on h.creator = m.creator and h.disabled_at is null and 'message.changed' = any(h.events);

-- name: asked_enough
-- Messages about which the provider has said its last word.
update awaiting set poll_at = null where notification_id = any($1::uuid[]);

-- name: unknown_operations
-- Handoffs to providers $1 of which nobody read an answer, from the place ($2, $3) on.
select attempt_id, notification_id, order_id, provider, expires_at, unknown_at from handoff
where unknown_at is not null and settle_at is null and provider = any($1::text[]) and (unknown_at, attempt_id) > ($2, $3)
order by unknown_at, attempt_id limit 200;
