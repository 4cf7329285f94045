-- name: keep_in_reserve
-- Messages of the other channel, which take over if all messages of the chosen one fail.
insert into reserve (order_id, id, creator, channel, position, recipient_kind, recipient, recipient_key, address, custom_subject,
    custom_body, sms_parts, body_length, domain, daytime)
select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::bytea[], $9::text[],
    $10::text[], $11::text[], $12::smallint[], $13::int[], $14::text[], $15::boolean[]);

-- name: orders_in_reserve
-- Which of orders $1 keep something in reserve.
select distinct order_id from reserve where order_id = any($1::uuid[]);

-- name: fall_back
-- The messages of orders $1 have all ended. Where every one of them has failed for certain and at least one had been sent, the reserve
-- is sent instead: from $2 on and until $4, or in the daytime from $3 and until $5; elsewhere it is dropped. Which orders go on.
-- A message that outlived its life (rank 30) may have arrived; ranks of 70 were decided before anything was sent.
with failed as (
    select o.id from orders o
    where o.id = any($1::uuid[]) and o.state = 'Processed'
        and not exists (select from notification n where n.order_id = o.id and n.rank < 50)
        and exists (select from notification n where n.order_id = o.id and n.rank < 70)
), taken as (
    delete from reserve where order_id = any($1::uuid[]) returning *
), going as (
    select t.*, case when t.daytime then $3::timestamptz else $2::timestamptz end as ready_at,
        case when t.daytime then $5::timestamptz else $4::timestamptz end as expires_at
    from taken t join failed f on f.id = t.order_id
), made as (
    insert into notification (order_id, id, creator, channel, position, recipient_kind, recipient, recipient_key, address,
        custom_subject, custom_body, sms_parts, body_length, status, rank, status_at, expires_at)
    select order_id, id, creator, channel, position, recipient_kind, recipient, recipient_key, address, custom_subject, custom_body,
        sms_parts, body_length, 'New', 0, $2, expires_at
    from going
), waiting as (
    insert into ready (notification_id, order_id, creator, channel, lane, domain, ready_at, expires_at, daytime)
    select id, order_id, creator, channel, 1, domain, ready_at, expires_at, daytime from going
)
update orders o set remaining = c.number
from (select order_id, count(*)::int as number from going group by order_id) c
where o.id = c.order_id
returning o.id;
