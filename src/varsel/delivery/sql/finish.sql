-- name: read_ending
-- What the feed tells of orders that end, with their messages in the order of display. Texts above $2 octets stay behind.
select o.id, o.kind, case when octet_length(o.senders_reference) <= $2 then o.senders_reference end as senders_reference,
    octet_length(o.senders_reference) > $2 as long_reference,
    n.id as message_id, n.channel, case when octet_length(n.address) <= $2 then n.address end as address, n.status, n.status_at
from orders o left join notification n on n.order_id = o.id
where o.id = any($1::uuid[]) and o.state in ('Registered', 'Processing', 'Processed', 'Attempting')
order by o.id, n.channel, n.position;

-- name: finish
-- End orders $1 in state $2: feed entries $3 (numbered later), log and sums, all or nothing.
with w as (
    select * from unnest($1::uuid[], $2::text[], $3::bytea[]) as w (id, state, entry)
), done as (
    update orders o set state = w.state, state_at = $4, ended_at = $4, remaining = 0
    from w where o.id = w.id and o.state in ('Registered', 'Processing', 'Processed', 'Attempting')
    returning o.*
), first as (
    insert into fed (order_id) select id from done on conflict do nothing returning order_id
), pending as (
    insert into feed_pending (order_id, creator, created_at, entry)
    select d.id, d.creator, $4, w.entry from first f join done d on d.id = f.order_id join w on w.id = d.id
), ended as (
    select n.* from done d join notification n on n.order_id = d.id
), logged as (
    insert into notification_log (order_id, notification_id, chain_id, creator, senders_reference, dialog_id, transmission_id, kind,
        channel, recipient_kind, recipient, recipient_key, destination, resource_id, status, reference, requested_at, updated_at)
    select d.id, n.id, d.chain_id, d.creator, d.senders_reference, d.dialog_id, d.transmission_id, d.kind,
        n.channel, n.recipient_kind, n.recipient, n.recipient_key, n.address, d.resource_id, n.status, n.reference, d.requested_at, n.status_at
    from ended n join done d on d.id = n.order_id
    on conflict do nothing
), summed as (
    insert into metric_daily (day, creator, what, status, number, parts)
    select (n.status_at at time zone 'UTC')::date, n.creator, n.channel, n.status, count(*), coalesce(sum(n.sms_parts), 0)
    from ended n group by 1, 2, 3, 4
    union all
    select (d.requested_at at time zone 'UTC')::date, d.creator, 'orders', d.state, count(*), 0 from done d group by 1, 2, 4
), gone as (
    delete from due where order_id = any($1::uuid[])
)
select order_id from first;

-- name: join_content
-- Put a large content together, anew.
update order_content
set content = (select string_agg(piece, ''::bytea order by part) from value_piece where row_id = $1 and name = 'content')
where order_id = $1;

-- name: join_entry
-- Put a large entry together that this transaction has stored without it.
update feed_pending
set entry = (select string_agg(piece, ''::bytea order by part) from value_piece where row_id = $1 and name = 'entry')
where order_id = $1;

-- name: fill_reference
-- Write the reference of an order into its entry, where $2 stands for it.
update feed_pending
set entry = convert_to(
    replace(convert_from(entry, 'UTF8'), $2, (select to_json(senders_reference)::text from orders where id = $1)), 'UTF8')
where order_id = $1;

-- name: fill_address
-- The same for the address of message $3.
update feed_pending
set entry = convert_to(
    replace(convert_from(entry, 'UTF8'), $2, (select to_json(address)::text from notification where order_id = $1 and id = $3)), 'UTF8')
where order_id = $1;

-- name: write_content
-- The stored content of one order, anew.
update order_content set content = $2 where order_id = $1;
