-- name: number_feed
-- Number up to $2 committed entries from mark $1 on; nothing while another sequencer has the lead. After a promotion the series
-- skips $3, so that numbers a lost primary may have given are not given again. Marks $4 are left where they are. Endpoints that asked for it are told by the number;
-- a line break and a quote cannot stand in a JSON text, so the status is found where it is written and nowhere else.
with place as (
    select ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline
), lead as (
    select c.last + case when c.timeline <> p.timeline then $3::bigint else 0 end as last, p.timeline
    from feed_counter c cross join place p for update of c skip locked
), taken as (
    delete from feed_pending where exists (select from lead) and mark = any(array(
        select mark from feed_pending where mark > $1 and mark <> all($4::bigint[]) order by mark limit $2))
    returning mark, order_id, creator, created_at, entry
), numbered as (
    select t.*, l.last + row_number() over (order by t.mark) as seq from taken t cross join lead l
), added as (
    insert into feed (seq, creator, order_id, created_at, entry) select seq, creator, order_id, created_at, entry from numbered
), told as (
    insert into webhook_event (webhook_id, type, seq, order_id, at)
    select w.id, t.type, n.seq, n.order_id, n.created_at
    from numbered n join webhook w on w.creator = n.creator and w.disabled_at is null
        cross join lateral (select case when position(convert_to(E'\n    "status": "Order_SendConditionNotMet"', 'UTF8') in n.entry) > 0
            then 'order.condition-not-met' else 'order.completed' end as type) t
    where t.type = any(w.events)
    order by n.seq
), counted as (
    update feed_counter c set last = l.last + (select count(*) from taken), timeline = l.timeline
    from lead l where exists (select from taken)
)
select count(*)::int as number, max(mark) as mark, (select count(*)::int from lead) as led from taken;

-- name: first_pending
-- The first entry from mark $1 on that is not among marks $2.
select mark, order_id from feed_pending where mark > $1 and mark <> all($2::bigint[]) order by mark limit 1;
