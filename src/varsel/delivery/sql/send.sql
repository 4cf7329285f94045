-- name: claim_ready
-- Take up to $6 messages of a channel and lane that are ready by $3, from the place ($4, $5) on, for owner $7 and time $8. Those whose
-- life is over stay, and are not looked for by an index of lives, which would have to be sorted.
with chosen as (
    select notification_id from ready
    where owner is null and channel = $1 and lane = $2 and ready_at <= $3 and (ready_at, notification_id) > ($4, $5)
        and (not_before is null or not_before <= clock_timestamp()) and (expires_at > $3) is true
    order by ready_at, notification_id
    limit $6
    for update skip locked
)
update ready r set owner = $7, lease_until = clock_timestamp() + $8::interval
where r.notification_id = any(array(select notification_id from chosen))
returning r.notification_id, r.order_id, r.creator, r.lane, r.domain, r.ready_at, r.expires_at, r.tries, r.daytime, r.provider;

-- name: read_messages
-- Addresses and own texts of messages $2 of orders $1; those above $3 octets come as octets.
select n.id,
    case when octet_length(n.address) <= $3 then n.address end as address,
    case when octet_length(n.custom_subject) <= $3 then n.custom_subject end as custom_subject,
    case when octet_length(n.custom_body) <= $3 then n.custom_body end as custom_body,
    case when octet_length(n.address) > $3 then convert_to(n.address, 'UTF8') end as long_address,
    case when octet_length(n.custom_subject) > $3 then convert_to(n.custom_subject, 'UTF8') end as long_subject,
    case when octet_length(n.custom_body) > $3 then convert_to(n.custom_body, 'UTF8') end as long_body
from unnest($1::uuid[], $2::uuid[]) as w (order_id, id) join notification n on n.order_id = w.order_id and n.id = w.id;

-- name: read_contents
-- The stored content of orders.
select c.order_id, c.content from unnest($1::uuid[]) as w (id) join order_content c on c.order_id = w.id;

-- name: attachment_sizes
-- How many octets of files messages $2 of orders $1 carry.
update notification n set attachment_bytes = w.octets
from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as w (order_id, id, octets)
where n.order_id = w.order_id and n.id = w.id;

-- name: renew_ready
-- Go on holding messages $1 of owner $2.
update ready set lease_until = clock_timestamp() + $3::interval where notification_id = any($1::uuid[]) and owner is not distinct from $2;

-- name: release_ready
-- Messages that owner $2 gives back untouched; $3 is the next moment each may leave.
update ready r set owner = null, lease_until = null, ready_at = coalesce(w.ready_at, r.ready_at)
from unnest($1::uuid[], $3::timestamptz[]) as w (id, ready_at)
where r.notification_id between w.id and w.id and r.owner is not distinct from $2;

-- name: delay_ready
-- Messages $1 that owner $2 gives back untouched, because their provider or domain has had its share: until calendar time $3 each,
-- machine time now + $4.
update ready r set owner = null, lease_until = null, ready_at = w.ready_at, not_before = clock_timestamp() + w.pause
from unnest($1::uuid[], $3::timestamptz[], $4::interval[]) as w (id, ready_at, pause)
where r.notification_id between w.id and w.id and r.owner is not distinct from $2;

-- name: ask_pace
-- Ask for $2 messages of each scope $1 in this second of the database's clock: how many all workers have asked for, and what is left
-- of the second.
with moment as (
    select clock_timestamp() as at
)
insert into pacing as p (scope, slice, used)
select w.scope, floor(extract(epoch from m.at))::bigint, w.wanted from moment m, unnest($1::text[], $2::int[]) as w (scope, wanted)
order by w.scope
on conflict (scope, slice) do update set used = p.used + excluded.used
returning p.scope, p.used, (p.slice + 1 - extract(epoch from (select at from moment)))::float8 as left_over;

-- name: release_all_ready
-- Everything that owner $1 holds goes back untouched.
update ready set owner = null, lease_until = null where owner = $1;

-- name: release_unheld
-- Messages of a channel and lane that owner $1 was given without hearing of it, because the answer was lost, go back; $4 are in its
-- hands.
update ready r set owner = null, lease_until = null
where r.owner = $1 and r.channel = $2 and r.lane = $3 and r.notification_id <> all($4::uuid[])
    and not exists (select from handoff h where h.notification_id = r.notification_id);

-- name: release_lapsed_ready
-- Leases that ran out go back untouched.
update ready set owner = null, lease_until = null where notification_id = any(array(
    select notification_id from ready where owner is not null and lease_until < statement_timestamp() limit 1000 for update skip locked));

-- name: intend
-- Write down that messages are about to leave, unless their order was cancelled or somebody else holds them; which ones may go.
-- The share lock on the order meets the lock of a cancel: one of the two comes first. Orders are named by the parameter and not by a
-- join: PostgreSQL 18.6 crashes where it checks a row again that changed meanwhile, and prunes partitions by the join. Messages are found
-- by their key: `owner = …` would let the index of leased rows in, which looks small whenever the queue was empty at its last analysis,
-- and then every statement reads all that the workers hold. Equality would let a join read all of the queue once
-- (docs/decisions/0010-queue-plans.md), a range of one key does not.
with w as (
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) as w (attempt_id, notification_id, order_id, provider)
), alive as (
    select o.id from orders o where o.id = any($3::uuid[]) and o.state in ('Processed', 'Attempting') order by o.id for share
), taken as (
    delete from ready r using w
    where r.notification_id between w.notification_id and w.notification_id and r.owner is not distinct from $5
        and w.order_id in (select id from alive)
    returning w.attempt_id, r.notification_id, r.order_id, r.creator, r.channel, w.provider, r.tries, r.lane, r.domain, r.daytime,
        r.expires_at
), moved as (
    update notification n set status = 'Sending', rank = 10, status_at = $6, provider = t.provider
    from taken t where n.order_id = t.order_id and n.id = t.notification_id and n.rank < 20
), told as (
    insert into webhook_event (webhook_id, type, order_id, notification_id, status, at)
    select h.id, 'message.changed', t.order_id, t.notification_id, 'Sending', $6
    from taken t join webhook h on h.creator = t.creator and h.disabled_at is null and 'message.changed' = any(h.events)
)
insert into handoff (attempt_id, notification_id, order_id, creator, channel, provider, number, lane, domain, daytime, expires_at, worker)
select attempt_id, notification_id, order_id, creator, channel, provider, tries + 1, lane, domain, daytime, expires_at, $5 from taken
returning attempt_id;
