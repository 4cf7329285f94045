-- name: store_instant
-- Store an instant order with its message and the intent to hand it over, unless its key is taken. Answers whether it was stored.
with keys as (
    insert into idempotency (creator, family, key_hash, chain_id, body_mac, receipt, created_at)
    values ($1, 'instant', $2, $3, $4, $5, $6)
    on conflict do nothing
    returning chain_id
), stored as (
    insert into orders (
        id, chain_id, creator, kind, channel, sending_policy, senders_reference, requested_at, created_at, state, state_at, remaining
    )
    select $7, chain_id, $1, 'Instant', $8, 'Anytime', $9, $6, $6, 'Attempting', $6, 1 from keys
    returning id
), texts as (
    insert into order_content (order_id, content) select id, $10 from stored
), message as (
    insert into notification (
        order_id, id, creator, channel, position, recipient_kind, address, sms_parts, body_length, status, rank, status_at,
        expires_at, provider
    )
    select id, $11, $1, $8, 0, 'direct', $12, $13, $14, 'Sending', 10, $6, $15, $17 from stored
)
insert into handoff (
    attempt_id, notification_id, order_id, creator, channel, provider, number, lane, expires_at, worker
)
select $16, $11, id, $1, $8, $17, 1, 0, $15, $18 from stored
returning attempt_id;

-- name: instant_taken
-- What stands under the key of an instant order, and how far that order is.
select taken.receipt, taken.body_mac, taken.chain_id, orders.state
from idempotency taken
left join orders on orders.chain_id = taken.chain_id and orders.creator = taken.creator
where taken.creator = $1 and taken.family = 'instant' and taken.key_hash = $2;
