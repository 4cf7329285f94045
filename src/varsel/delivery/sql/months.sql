-- name: monthly_partitions
-- Partitions of tables $1, oldest first, with their bounds; not those that somebody is taking off.
select p.relname as parent, c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bounds
from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
where p.oid = any(array(select to_regclass(name) from unnest($1::text[]) as name)) and not i.inhdetachpending
order by p.relname, c.relname;

-- name: month_waits
-- Whether anything waits that belongs to an order with an id in [$1, $2).
select exists (select from due where order_id >= $1 and order_id < $2)
    or exists (select from ready where order_id >= $1 and order_id < $2)
    or exists (select from handoff where order_id >= $1 and order_id < $2)
    or exists (select from awaiting where order_id >= $1 and order_id < $2)
    or exists (select from reserve where order_id >= $1 and order_id < $2)
    or exists (select from feed_pending where order_id >= $1 and order_id < $2)
    or exists (select from webhook_event where order_id >= $1 and order_id < $2)
    or exists (select from parked_report p join provider_reference r on r.provider = p.provider and r.reference = p.reference
        where p.dead_at is null and r.order_id >= $1 and r.order_id < $2);

-- name: month_end
-- Whether an order with an id in [$1, $2) has not ended, and when the last of them did.
select coalesce(bool_or(ended_at is null), false) as living, max(ended_at) as ended from orders where id >= $1 and id < $2;

-- name: known_month_end
-- When the last order of month $1 ended, if that was found out already.
select until from retention where what = $1;

-- name: forget_month_end
-- A month that is gone has no end to remember.
delete from retention where what = $1;

-- name: forget_fed
-- Up to $3 marks of fed orders with ids in ($1, $2), none of which can end again; the last of them.
with gone as (
    delete from fed where order_id = any(array(
        select order_id from fed where order_id > $1 and order_id < $2 order by order_id limit $3))
    returning order_id
)
select order_id from gone order by order_id desc limit 1;

-- name: sum_month
-- Add orders with ids in [$1, $2) to the sums that the monthly page shows when they are gone; as `monthly_figures` counts them.
insert into metric_monthly as m (month, creator, orders, emails, emails_succeeded, sms, sms_succeeded)
select month, creator, sum(orders), sum(emails), sum(emails_succeeded), sum(sms), sum(sms_succeeded)
from (
    select date_trunc('month', o.requested_at at time zone 'UTC')::date as month, o.creator, count(*) as orders, 0 as emails,
        0 as emails_succeeded, 0 as sms, 0 as sms_succeeded
    from orders o
    where o.id >= $1 and o.id < $2 and o.state <> 'Void'
    group by 1, 2
    union all
    select date_trunc('month', o.requested_at at time zone 'UTC')::date, o.creator, 0,
        count(*) filter (where n.channel = 'Email'),
        count(*) filter (where n.channel = 'Email' and n.status in ('Succeeded', 'Delivered')),
        coalesce(sum(n.sms_parts) filter (where n.channel = 'Sms'), 0),
        coalesce(sum(n.sms_parts) filter (where n.channel = 'Sms' and n.status in ('Accepted', 'Delivered')), 0)
    from orders o join notification n on n.order_id = o.id
    where o.id >= $1 and o.id < $2 and n.order_id >= $1 and n.order_id < $2 and o.state <> 'Void'
    group by 1, 2
) figures
group by month, creator
on conflict (month, creator) do update set orders = m.orders + excluded.orders, emails = m.emails + excluded.emails,
    emails_succeeded = m.emails_succeeded + excluded.emails_succeeded, sms = m.sms + excluded.sms,
    sms_succeeded = m.sms_succeeded + excluded.sms_succeeded;

-- name: holders
-- Transactions that hold tables $1, each with the table it holds.
select c.relname, l.virtualtransaction
from pg_locks l join pg_class c on c.oid = l.relation
where l.granted and l.database = (select oid from pg_database where datname = current_database()) and c.relname = any($1::text[]);

-- name: last_fed
-- The last number of the feed.
select last from feed_counter;

-- name: oldest_in_block
-- When the oldest entry with a number in [$1, $2) was made.
select min(created_at) from feed where seq >= $1 and seq < $2;
