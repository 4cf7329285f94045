-- name: claim_due
-- Lock up to $4 waiting orders whose time has come by $1, from the place ($2, $3) on. Locks are taken on one table at a time and without
-- a join: PostgreSQL 18.6 passes a row over, or crashes, where it looks again at a row that changed meanwhile and prunes partitions by
-- the join.
select order_id, due_at, tries, asked from due
where owner is null and due_at <= $1 and (due_at, order_id) > ($2, $3)
order by due_at, order_id
limit $4
for update skip locked;

-- name: lock_due_orders
-- Lock the orders of a claim; one that is being cancelled is left alone. No register knows longer resources and actions than these.
select id, creator, kind, channel, sending_policy, requested_at, left(resource_id, 10000) as resource_id,
    left(resource_action, 10000) as resource_action
from orders
where id = any($1::uuid[]) and state = 'Registered'
order by id
for update skip locked;

-- name: due_contents
-- The stored contents of orders; those above $2 octets stay behind.
select order_id, octet_length(content) as octets, case when octet_length(content) <= $2 then content end as content
from order_content where order_id = any($1::uuid[]);

-- name: lease_due
-- Hold orders $1 for owner $2 while somebody outside is asked; they show as Processing.
with leased as (
    update due set owner = $2, lease_until = clock_timestamp() + $3::interval where order_id = any($1::uuid[])
)
update orders set state = 'Processing', state_at = $4 where id = any($1::uuid[]) and state = 'Registered';

-- name: waiting_due
-- How many orders due by $1 are in nobody's hands, counted up to $2.
select count(*) from (select from due where owner is null and due_at <= $1 limit $2) as waiting;

-- name: read_content
-- The stored content of one order.
select content from order_content where order_id = $1;

-- name: renew_due
-- Go on holding orders $1 of owner $2.
update due set lease_until = clock_timestamp() + $3::interval where order_id = any($1::uuid[]) and owner = $2;

-- name: lock_waiting_order
-- Lock one order before its plan is stored; nothing when it was cancelled.
select id from orders where id = $1 and state in ('Registered', 'Processing') for update;

-- name: lock_lease
-- Lock the lease of an order that owner $2 still holds; nothing when it was taken back.
select order_id from due where order_id = $1 and owner = $2 for update;

-- name: put_back_due
-- An order that must be asked about again: $3 is the next time, $4 the tries, $5 whether the condition was inconclusive.
with back as (
    update due set owner = null, lease_until = null, due_at = $3, tries = $4, asked = $5
    where order_id = $1 and owner = $2 returning order_id
)
update orders set state = 'Registered', state_at = $6 where id in (select order_id from back) and state = 'Processing';

-- name: release_due
-- Leases of owner $1 go back untouched.
with back as (
    update due set owner = null, lease_until = null where owner = $1 returning order_id
)
update orders set state = 'Registered' where id in (select order_id from back) and state = 'Processing' returning id;

-- name: release_lapsed_due
-- Leases that ran out go back untouched.
with lapsed as (
    select order_id from due where owner is not null and lease_until < statement_timestamp() limit 500 for update skip locked
), back as (
    update due set owner = null, lease_until = null where order_id in (select order_id from lapsed) returning order_id
)
update orders set state = 'Registered' where id in (select order_id from back) and state = 'Processing' returning id;

-- name: insert_messages
-- The messages of planned orders; those that are not final wait to be handed over, and those with an owner are in its hands at
-- once, for $22. Final is a rank of 30 and above.
with w as (
    select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::bytea[], $9::text[],
        $10::text[], $11::text[], $12::smallint[], $13::int[], $14::text[], $15::smallint[], $16::timestamptz[], $17::smallint[],
        $18::text[], $19::timestamptz[], $20::boolean[], $21::uuid[])
        as w (order_id, id, creator, channel, position, recipient_kind, recipient, recipient_key, address, custom_subject, custom_body,
            sms_parts, body_length, status, rank, expires_at, lane, domain, ready_at, daytime, owner)
), waiting as (
    insert into ready (notification_id, order_id, creator, channel, lane, domain, ready_at, expires_at, daytime, owner, lease_until)
    select id, order_id, creator, channel, lane, domain, ready_at, expires_at, daytime, owner,
        case when owner is not null then clock_timestamp() + $22::interval end
    from w where rank < 30
)
insert into notification (order_id, id, creator, channel, position, recipient_kind, recipient, recipient_key, address,
    custom_subject, custom_body, sms_parts, body_length, status, rank, status_at, expires_at)
select order_id, id, creator, channel, position, recipient_kind, recipient, recipient_key, address, custom_subject, custom_body,
    sms_parts, body_length, status, rank, $23, expires_at
from w;

-- name: join_message
-- Put the large texts of a message together where it was stored without them.
update notification set
    address = coalesce((
        select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $2 and name = 'address'
    ), address),
    recipient = coalesce((
        select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $2 and name = 'recipient'
    ), recipient),
    custom_subject = coalesce((
        select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $2 and name = 'custom_subject'
    ), custom_subject),
    custom_body = coalesce((
        select convert_from(string_agg(piece, ''::bytea order by part), 'UTF8') from value_piece where row_id = $2 and name = 'custom_body'
    ), custom_body)
where order_id = $1 and id = $2;

-- name: planned
-- Orders whose messages are stored: due rows go, $2 messages each are still to end.
with gone as (
    delete from due where order_id = any($1::uuid[])
)
update orders o set state = 'Processed', state_at = $3, remaining = p.remaining
from unnest($1::uuid[], $2::int[]) as p (id, remaining)
where o.id = p.id and o.state in ('Registered', 'Processing');
