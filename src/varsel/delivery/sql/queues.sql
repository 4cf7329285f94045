-- name: queue_figures
-- How many rows wait in each queue, counted up to $2, and since when the first of them is overdue in seconds (0: it is not); $1 is
-- the calendar. Every part reads the beginning of an index of a table that holds only what waits.
select q.queue, q.channel, q.lane, q.number, greatest(0, q.age)::float8 as age
from (
    select 'due' as queue, '' as channel, -1 as lane, count(*) as number, extract(epoch from $1 - min(due_at)) as age
    from (select due_at from due where owner is null and due_at <= $1 order by due_at limit $2) d
    union all
    select 'ready', l.channel, l.lane, r.number, extract(epoch from $1 - r.first)
    from (values ('Email', 0), ('Email', 1), ('Email', 2), ('Sms', 0), ('Sms', 1)) as l (channel, lane)
        cross join lateral (select count(*) as number, min(ready_at) as first from (
            select ready_at from ready where owner is null and channel = l.channel and lane = l.lane order by ready_at limit $2) f) r
    union all
    select 'handoff', '', -1, count(*), extract(epoch from clock_timestamp() - min(begun_at))
    from (select begun_at from handoff where unknown_at is null limit $2) h
    union all
    select 'unknown', '', -1, count(*), extract(epoch from clock_timestamp() - min(unknown_at))
    from (select unknown_at from handoff where unknown_at is not null limit $2) u
    union all
    select 'awaiting', '', -1, count(*), extract(epoch from $1 - min(until))
    from (select until from awaiting where until < 'infinity' order by until, notification_id limit $2) a
    union all
    select 'parked', '', -1, count(*), extract(epoch from clock_timestamp() - min(give_up_at))
    from (select give_up_at from parked_report where dead_at is null order by give_up_at limit $2) p
    union all
    select 'dead', '', -1, count(*), extract(epoch from clock_timestamp() - min(dead_at))
    from (select dead_at from parked_report where dead_at is not null order by dead_at limit $2) x
    union all
    select 'feed', '', -1, count(*), extract(epoch from $1 - min(created_at))
    from (select created_at from feed_pending order by mark limit $2) f
    union all
    select 'webhook', '', -1, count(*), extract(epoch from clock_timestamp() - min(next_at))
    from (select next_at from webhook_event where owner is null and next_at <= statement_timestamp() limit $2) w
) q;
