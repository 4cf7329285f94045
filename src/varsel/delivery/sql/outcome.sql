-- name: accept
-- Messages that providers took: attempt, reference, status, and the wait for the final word. A handoff that was settled meanwhile
-- leaves only its reference, by which the reports will still find the message. A reference that a provider gives a second time, as
-- one does whose counter began anew, is the newer message's from now on. Family 'dsn' is e-mail whose bounces name the notification
-- itself; without one it becomes Delivered at the end of its wait. A provider that decides later is asked after $9, and until then the
-- message is still on its way. Answers whether a report about them waits already: looked up message by message, where a join might
-- read all of the queue (docs/decisions/0010-queue-plans.md).
with w as (
    select *, case family when 'dsn' then replace(notification_id::text, '-', '') else reference end as key
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $9::interval[])
        as w (attempt_id, order_id, notification_id, family, reference, evidence, until, ask_after)
), ended as (
    delete from handoff where attempt_id = any($1::uuid[]) returning attempt_id, number, provider, channel, begun_at
), tried as (
    insert into attempt (order_id, id, notification_id, number, provider, begun_at, ended_at, outcome, reference, detail)
    select w.order_id, w.attempt_id, w.notification_id, e.number, e.provider, e.begun_at, clock_timestamp(), 'accepted', w.reference, w.evidence
    from ended e join w on w.attempt_id = e.attempt_id
), known as (
    insert into provider_reference (provider, reference, order_id, notification_id)
    select distinct on (family, key) family, key, order_id, notification_id from w where key <> '' order by family, key, attempt_id desc
    on conflict (provider, reference) do update set order_id = excluded.order_id, notification_id = excluded.notification_id
    where provider_reference.notification_id <> excluded.notification_id
), moved as (
    update notification n set reference = nullif(w.reference, ''), provider = e.provider, status_at = $8,
        status = case when w.ask_after is not null then 'Sending' when e.channel = 'Email' then 'Succeeded' else 'Accepted' end,
        rank = case when w.ask_after is null then 20 else 10 end
    from w join ended e on e.attempt_id = w.attempt_id
    where n.order_id = w.order_id and n.id = w.notification_id and n.rank < 20
    returning n.order_id, n.id, n.creator, n.status, n.channel, n.provider, n.reference, w.until, w.family, w.ask_after
), told as (
    insert into webhook_event (webhook_id, type, order_id, notification_id, status, at)
    select h.id, 'message.changed', m.order_id, m.id, m.status, $8
    from moved m join webhook h on h.creator = m.creator and h.disabled_at is null and 'message.changed' = any(h.events)
    where m.ask_after is null
), waits as (
    insert into awaiting (notification_id, order_id, channel, until, then_status, provider, reference, poll_at)
    select id, order_id, channel, until, case family when 'dsn' then 'Delivered' else 'Failed_TTL' end, provider, reference,
        clock_timestamp() + ask_after
    from moved
    on conflict (notification_id) do nothing
)
select exists (select from w where (
    select bool_or(p.dead_at is null) from parked_report p where p.provider = w.family and p.reference = w.key)) as early;

-- name: refuse
-- Attempts that ended for good, with a handoff (deleted) or before one (the message is held by owner $8).
with w as (
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::smallint[], $6::text[], $7::text[])
        as w (attempt_id, order_id, notification_id, provider, number, code, detail)
), ended as (
    delete from handoff where attempt_id = any($1::uuid[]) returning attempt_id, notification_id, begun_at
), held as (
    delete from ready r using w
    where r.notification_id between w.notification_id and w.notification_id and r.owner is not distinct from $8
    returning w.attempt_id, r.notification_id, clock_timestamp() as begun_at
), both_ as (
    select * from ended union all select * from held
), tried as (
    insert into attempt (order_id, id, notification_id, number, provider, begun_at, ended_at, outcome, code, detail)
    select w.order_id, w.attempt_id, w.notification_id, w.number, w.provider, b.begun_at, clock_timestamp(), 'permanent', w.code, w.detail
    from both_ b join w on w.attempt_id = b.attempt_id
    on conflict do nothing
)
select attempt_id from both_;

-- name: postpone
-- Attempts that failed for now: the message waits again until calendar time $6, machine time now + $7; with a handoff or before one.
-- $13 is the only provider that may have it, where an earlier attempt is unknown.
with w as (
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::smallint[], $6::timestamptz[], $7::interval[], $8::text[],
        $9::text[], $12::boolean[], $13::text[])
        as w (attempt_id, order_id, notification_id, provider, number, ready_at, pause, code, detail, counted, pinned)
), ended as (
    delete from handoff where attempt_id = any($1::uuid[]) returning *
), back as (
    update notification n set status = 'New', rank = 0, status_at = $11
    from ended e where n.order_id = e.order_id and n.id = e.notification_id and n.rank = 10
    returning n.order_id, n.id, n.creator
), told as (
    insert into webhook_event (webhook_id, type, order_id, notification_id, status, at)
    select h.id, 'message.changed', b.order_id, b.id, 'New', $11
    from back b join webhook h on h.creator = b.creator and h.disabled_at is null and 'message.changed' = any(h.events)
), again as (
    insert into ready (notification_id, order_id, creator, channel, lane, domain, ready_at, not_before, expires_at, tries, daytime,
        provider)
    select e.notification_id, e.order_id, e.creator, e.channel, e.lane, e.domain, w.ready_at, clock_timestamp() + w.pause, e.expires_at,
        case when w.counted then e.number else e.number - 1 end, e.daytime, w.pinned
    from ended e join w on w.attempt_id = e.attempt_id join back b on b.id = e.notification_id
    on conflict (notification_id) do nothing
), held as (
    update ready r set owner = null, lease_until = null, ready_at = w.ready_at, not_before = clock_timestamp() + w.pause,
        tries = case when w.counted then w.number else r.tries end
    from w where r.notification_id between w.notification_id and w.notification_id and r.owner is not distinct from $10
    returning w.attempt_id
)
insert into attempt (order_id, id, notification_id, number, provider, begun_at, ended_at, outcome, code, detail)
select w.order_id, w.attempt_id, w.notification_id, w.number, w.provider, coalesce(e.begun_at, clock_timestamp()), clock_timestamp(),
    'temporary', w.code, w.detail
from w left join ended e on e.attempt_id = w.attempt_id
where e.attempt_id is not null or (w.counted and w.attempt_id in (select attempt_id from held))
on conflict do nothing;

-- name: doubt
-- Handoffs whose outcome cannot be known: settled after $3, or held when that is null. The key lets evidence find the message.
with w as (
    select * from unnest($1::uuid[], $2::text[], $3::interval[], $4::text[], $5::text[]) as w (attempt_id, detail, pause, family, key)
), marked as (
    update handoff h set unknown_at = clock_timestamp(), settle_at = clock_timestamp() + w.pause
    from w where h.attempt_id between w.attempt_id and w.attempt_id and h.unknown_at is null
    returning h.attempt_id, h.order_id, h.notification_id
)
insert into provider_reference (provider, reference, order_id, notification_id)
select w.family, w.key, m.order_id, m.notification_id from marked m join w on w.attempt_id = m.attempt_id where w.key <> ''
on conflict do nothing;

-- name: lock_orders
-- Take the orders whose messages are about to end, in one order of locking, so that nobody else counts at the same time.
select id, state from orders where id = any($1::uuid[]) order by id for no key update;

-- name: leave_queues
-- Final messages $1 wait for nothing any more, also where a provider's answer began a wait while a report was raising the status. By
-- their keys: joined with what another part of a statement ended, a queue may be gone through from its first entry.
with quiet as (
    delete from awaiting where notification_id = any($1::uuid[])
)
delete from ready where notification_id = any($1::uuid[]);

-- name: raise_status
-- Give messages a final status where it is higher in rank; which orders it brought to their end. The orders are locked.
with w as (
    select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::text[]) as w (order_id, notification_id, status, rank, settled_by)
), ended as (
    update notification n set status = w.status, rank = w.rank, status_at = $6
    from w where n.order_id = w.order_id and n.id = w.notification_id and n.rank < 30 and n.rank < w.rank
    returning n.order_id, n.id, n.creator, n.status
), changed as (
    update notification n set status = w.status, rank = w.rank, status_at = $6, corrected = (o.state = 'Completed')
    from w join orders o on o.id = w.order_id
    where n.order_id = w.order_id and n.id = w.notification_id and n.rank >= 30 and n.rank < w.rank
    returning n.order_id, n.id, n.corrected, n.creator, n.status
), told as (
    insert into webhook_event (webhook_id, type, order_id, notification_id, status, at)
    select h.id, t.type, t.order_id, t.id, t.status, $6
    from (
        select 'message.changed' as type, false as corrected, order_id, id, creator, status from ended
        union all
        select 'message.changed', corrected, order_id, id, creator, status from changed
        union all
        select 'order.corrected', false, order_id, id, creator, status from changed where corrected
    ) t join webhook h on h.creator = t.creator and h.disabled_at is null and t.type = any(h.events)
        -- One change is told once: as a correction to those who asked for corrections.
        and not (t.corrected and 'order.corrected' = any(h.events))
), open as (
    delete from handoff h using ended e where h.notification_id between e.id and e.id
    returning h.*
), tried as (
    insert into attempt (order_id, id, notification_id, number, provider, begun_at, ended_at, outcome, settled_by)
    select p.order_id, p.attempt_id, p.notification_id, p.number, p.provider, p.begun_at, clock_timestamp(), 'unknown', w.settled_by
    from open p join w on w.notification_id = p.notification_id
    on conflict do nothing
), counted as (
    update orders o set remaining = o.remaining - c.number
    from (select order_id, count(*)::int as number from ended group by order_id) c
    where o.id = c.order_id
    returning o.id, o.remaining, o.state
)
select id as order_id, null::uuid as notification_id, (remaining <= 0 and state in ('Processed', 'Attempting')) as complete, false as corrected from counted
union all
select order_id, id, false, corrected from changed;
