-- name: accept
-- Store keys and orders of many requests; a request whose key is taken stores nothing. Answers the chain ids that were stored.
with keys as (
    insert into idempotency (creator, family, key_hash, chain_id, body_mac, receipt, created_at)
    select *
    from unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::bytea[], $6::bytea[], $7::timestamptz[])
    on conflict do nothing
    returning chain_id
), incoming as (
    select *
    from unnest(
        $8::uuid[], $9::uuid[], $10::integer[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
        $16::text[], $17::text[], $18::text[], $19::text[], $20::timestamptz[], $21::timestamptz[], $22::bytea[]
    ) as fresh (
        id, chain_id, position, creator, kind, channel, sending_policy, senders_reference,
        resource_id, resource_action, dialog_id, transmission_id, requested_at, created_at, content
    )
), stored as (
    -- A second run after a lost connection finds the orders of the first, and must not let them fall due again.
    insert into orders (
        id, chain_id, position, creator, kind, channel, sending_policy, senders_reference,
        resource_id, resource_action, dialog_id, transmission_id, requested_at, created_at, state, state_at
    )
    select
        id, chain_id, position, creator, kind, channel, sending_policy, senders_reference,
        resource_id, resource_action, dialog_id, transmission_id, requested_at, created_at, 'Registered', created_at
    from incoming
    where chain_id is null or chain_id in (select chain_id from keys)
    on conflict do nothing
    returning id
), texts as (
    insert into order_content (order_id, content)
    select id, content from incoming where id in (select id from stored)
), waiting as (
    insert into due (order_id, creator, due_at)
    select id, creator, requested_at from incoming where id in (select id from stored)
)
select chain_id from keys;

-- name: accept_more
-- Store further orders of a chain whose key was stored in this transaction.
with incoming as (
    select *
    from unnest(
        $1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[], $15::bytea[]
    ) as fresh (
        id, chain_id, position, creator, kind, channel, sending_policy, senders_reference,
        resource_id, resource_action, dialog_id, transmission_id, requested_at, created_at, content
    )
), stored as (
    insert into orders (
        id, chain_id, position, creator, kind, channel, sending_policy, senders_reference,
        resource_id, resource_action, dialog_id, transmission_id, requested_at, created_at, state, state_at
    )
    select
        id, chain_id, position, creator, kind, channel, sending_policy, senders_reference,
        resource_id, resource_action, dialog_id, transmission_id, requested_at, created_at, 'Registered', created_at
    from incoming
), texts as (
    insert into order_content (order_id, content) select id, content from incoming
)
insert into due (order_id, creator, due_at) select id, creator, requested_at from incoming;

-- name: keys_taken
-- The receipts that stand under these keys.
select taken.creator, taken.family, taken.key_hash, taken.chain_id, taken.body_mac, taken.receipt
from unnest($1::text[], $2::text[], $3::bytea[]) as asked (creator, family, key_hash)
join idempotency taken using (creator, family, key_hash);

-- name: chain_receipt
-- The receipt of a chain of this creator.
select receipt from idempotency where chain_id = $1 and creator = $2 and family <> 'instant';
