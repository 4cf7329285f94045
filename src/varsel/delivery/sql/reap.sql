-- name: register_worker
-- This incarnation is alive.
insert into worker (id, host, pid) values ($1, $2, $3)
on conflict (id) do update set heartbeat_at = clock_timestamp();

-- name: leave_worker
-- This incarnation has ended and holds nothing.
delete from worker where id = $1;

-- name: beat
-- Heartbeat of worker $1; nothing when it is not registered (any more).
update worker set heartbeat_at = clock_timestamp() where id = $1 returning true;

-- name: look_around
-- What waits at $1: the net below the wake-ups. $2 is the silence after which a worker is dead; held handoffs are over at $3. Nothing
-- is looked for that lies before $4 (due), $5 (feed) and $6 (reports); before $7 (leases and patience, machine clock), $8 (lives),
-- $9 (waits) and $10 (open handoffs); and in each channel $11 and lane $12 before $13: lanes are answered by their number in that list.
-- Times are those of the statement: of the clock, which is another at every row, an index knows no end. Of reports that are to be given
-- up only the first thousand are looked at: a backlog of those that can be applied lies before them.
select statement_timestamp() as at,
    exists (select from due where owner is null and due_at <= $1 and due_at >= $4) as due,
    exists (select from feed_pending where mark >= $5) as feed,
    exists (select from parked_report p join provider_reference r on r.provider = p.provider and r.reference = p.reference
        where p.report_id >= $6 and p.dead_at is null and p.status is not null) as report,
    exists (select from worker where heartbeat_at < statement_timestamp() - $2::interval) as dead,
    exists (select from due where owner is not null and lease_until < statement_timestamp() and lease_until >= $7) as lapsed_due,
    exists (select from ready where owner is not null and lease_until < statement_timestamp() and lease_until >= $7) as lapsed_ready,
    exists (select from ready where expires_at <= $1 and expires_at >= $8) as expired,
    exists (select from awaiting where until <= $1 and until >= $9 and until < 'infinity') as awaited,
    exists (select from handoff where settle_at <= statement_timestamp()) as unsettled,
    exists (select from handoff where unknown_at is not null and settle_at is null and expires_at <= $3) as held,
    exists (select from handoff h where h.attempt_id >= $10 and h.unknown_at is null
        and not exists (select from worker v where v.id = h.worker)) as orphaned,
    (select attempt_id from handoff where attempt_id >= $10 and unknown_at is null order by attempt_id limit 1) as first_open,
    exists (select from (
            select provider, reference, status from parked_report
            where dead_at is null and give_up_at <= statement_timestamp() and give_up_at >= $7 order by give_up_at limit 1000) p
        where p.status is null or (
            select r.order_id from provider_reference r where r.provider = p.provider and r.reference = p.reference) is null) as given_up,
    exists (select from handoff where unknown_at is not null and settle_at is null and channel = 'Sms')
        or exists (select from handoff where unknown_at is not null and settle_at is not null and channel = 'Sms') as lost,
    array(select l.number from unnest($11::text[], $12::smallint[], $13::timestamptz[]) with ordinality as l (channel, lane, place, number)
        where exists (select from ready r where r.owner is null and r.channel = l.channel and r.lane = l.lane
            and r.ready_at <= $1 and r.ready_at >= l.place)) as lanes,
    (select json_object_agg(provider, extract(epoch from paused_until - statement_timestamp())) from provider_state
        where paused_until > statement_timestamp()) as paused;

-- name: pause_provider
-- Pause a provider for $2, never shortening a pause.
insert into provider_state (provider, paused_until, reason, failures) values ($1, clock_timestamp() + $2::interval, $3, 1)
on conflict (provider) do update set paused_until = greatest(provider_state.paused_until, excluded.paused_until),
    reason = excluded.reason, failures = provider_state.failures + 1, updated_at = clock_timestamp();

-- name: dead_workers
-- Incarnations without a sign of life for $1.
select id from worker where heartbeat_at < statement_timestamp() - $1::interval for update skip locked;

-- name: doubt_of_workers
-- Open handoffs of incarnations $1, or of none that is registered, cannot be known; e-mail is settled after $2, SMS after $3, and
-- where the provider can be asked its answer settles.
-- An instant order among them stands from now on: a repeat of its request gets its receipt.
with marked as (
    update handoff h set unknown_at = clock_timestamp(), worker = '00000000-0000-0000-0000-000000000000',
        settle_at = clock_timestamp() + case when h.provider like 'acs:%' then null when h.channel = 'Email' then $2::interval
            else $3::interval end
    where h.unknown_at is null and (h.worker = any($1::uuid[]) or not exists (select from worker v where v.id = h.worker))
    returning h.notification_id, h.order_id
), stands as (
    update orders set state = 'Processed' where id in (select order_id from marked) and state = 'Attempting'
)
select notification_id from marked;

-- name: doubt_references
-- The notification id is known to bounce mail, and the attempt id to operations, also when no answer of the provider is.
insert into provider_reference (provider, reference, order_id, notification_id)
select case when h.provider like 'acs:%' then 'acs' else 'dsn' end,
    case when h.provider like 'acs:%' then h.attempt_id::text else replace(h.notification_id::text, '-', '') end,
    h.order_id, h.notification_id from handoff h
where h.notification_id = any($1::uuid[]) and h.channel = 'Email'
on conflict do nothing;

-- name: free_of_workers
-- Messages and orders held by dead incarnations go back untouched.
with r as (
    update ready set owner = null, lease_until = null where owner = any($1::uuid[])
), d as (
    update due set owner = null, lease_until = null where owner = any($1::uuid[]) returning order_id
), o as (
    update orders set state = 'Registered' where id in (select order_id from d) and state = 'Processing'
)
delete from worker where id = any($1::uuid[]);

-- name: expired_ready
-- Messages that were not handed over within their life, and are in nobody's hands.
select order_id, notification_id from ready
where expires_at <= $1 and (owner is null or lease_until < clock_timestamp()) order by expires_at limit $2;

-- name: take_expired
-- Those of them that still wait, now that their orders are locked.
delete from ready where notification_id = any($1::uuid[]) and expires_at <= $2 and (owner is null or lease_until < clock_timestamp())
returning order_id, notification_id, channel;

-- name: awaited
-- Accepted messages whose wait is over, from the place ($2, $3) on.
select notification_id, order_id, channel, then_status, until from awaiting
where until <= $1 and until < 'infinity' and (until, notification_id) > ($2, $3) order by until, notification_id limit $4;

-- name: still_awaited
-- Those of them that no report ended meanwhile, now that their orders are locked.
select notification_id, order_id, channel, then_status from awaiting where notification_id = any($1::uuid[]) and until <= $2;

-- name: unsettled
-- Unknown handoffs whose rule is due, and held ones whose life and grace are over; how often each message was unknown before.
select attempt_id, notification_id, order_id, channel, provider, expires_at, settle_at is null as held,
    (select count(*) from attempt a where a.order_id = h.order_id and a.notification_id = h.notification_id and a.outcome = 'unknown')
        as before
from handoff h
where settle_at <= statement_timestamp() or (unknown_at is not null and settle_at is null and expires_at <= $1)
limit 500;

-- name: hold
-- Unknown handoffs that are held from now on, until evidence or their expiry.
update handoff set settle_at = null where attempt_id = any($1::uuid[]) and unknown_at is not null;

-- name: resend
-- Unknown handoffs are sent again: the attempt is written down, and the message waits again. By rule through the same provider, which
-- may know the first copy; where the provider says that it has none ($3: long enough after they became unknown), through any.
with open as (
    delete from handoff
    where attempt_id = any($1::uuid[]) and unknown_at is not null
        and ($3::interval is null or (settle_at is null and unknown_at <= clock_timestamp() - $3::interval))
    returning *
), tried as (
    insert into attempt (order_id, id, notification_id, number, provider, begun_at, ended_at, outcome, settled_by)
    select order_id, attempt_id, notification_id, number, provider, begun_at, clock_timestamp(), 'unknown', 'resend' from open
), back as (
    update notification n set status = 'New', rank = 0, status_at = $2
    from open p where n.order_id = p.order_id and n.id = p.notification_id and n.rank = 10
    returning n.order_id, n.id, n.creator
), told as (
    insert into webhook_event (webhook_id, type, order_id, notification_id, status, at)
    select h.id, 'message.changed', b.order_id, b.id, 'New', $2
    from back b join webhook h on h.creator = b.creator and h.disabled_at is null and 'message.changed' = any(h.events)
)
insert into ready (notification_id, order_id, creator, channel, lane, domain, ready_at, expires_at, tries, daytime, provider)
select p.notification_id, p.order_id, p.creator, p.channel, p.lane, p.domain, $2, p.expires_at, p.number, p.daytime,
    case when $3::interval is null then p.provider end
from open p join back b on b.id = p.notification_id
on conflict (notification_id) do nothing
returning notification_id;
