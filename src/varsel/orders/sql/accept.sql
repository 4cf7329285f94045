-- name: accept
-- Store keys and orders of many requests; a request whose key is taken stores nothing. Answers the chain ids that were stored.
with keys as (
    insert into idempotency (key_hash, chain_id, body_mac, receipt, creator, family, created_at)
    select
        given.key_hash, given.chain_id, given.body_mac, given.receipt, coalesce(given.creator, $7::text),
        coalesce(given.family, $8::text), $9::timestamptz
    from unnest($1::bytea[], $2::uuid[], $3::bytea[], $4::bytea[], $5::text[], $6::text[])
        as given (key_hash, chain_id, body_mac, receipt, creator, family)
    on conflict do nothing
    returning chain_id
), incoming as (
    -- A list is empty where the whole column holds one value, which is then given beside it.
    select
        given.id, given.chain_id, given.content, coalesce(given.position, $25::integer) as position,
        coalesce(given.creator, $26::text) as creator, coalesce(given.kind, $27::text) as kind,
        coalesce(given.channel, $28::text) as channel,
        coalesce(given.sending_policy, $29::text) as sending_policy,
        coalesce(given.senders_reference, $30::text) as senders_reference,
        coalesce(given.resource_id, $31::text) as resource_id,
        coalesce(given.resource_action, $32::text) as resource_action,
        coalesce(given.dialog_id, $33::text) as dialog_id,
        coalesce(given.transmission_id, $34::text) as transmission_id,
        coalesce(given.created_at, $35::timestamptz) as created_at,
        coalesce(given.requested_at, $36::timestamptz, given.created_at, $35::timestamptz) as requested_at
    from unnest(
        $10::uuid[], $11::uuid[], $12::bytea[], $13::integer[], $14::text[], $15::text[], $16::text[],
        $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::timestamptz[],
        $24::timestamptz[]
    ) as given (
        id, chain_id, content, position, creator, kind, channel, sending_policy, senders_reference,
        resource_id, resource_action, dialog_id, transmission_id, created_at, requested_at
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
    -- A list is empty where the whole column holds one value, which is then given beside it.
    select
        given.id, given.chain_id, given.content, coalesce(given.position, $16::integer) as position,
        coalesce(given.creator, $17::text) as creator, coalesce(given.kind, $18::text) as kind,
        coalesce(given.channel, $19::text) as channel,
        coalesce(given.sending_policy, $20::text) as sending_policy,
        coalesce(given.senders_reference, $21::text) as senders_reference,
        coalesce(given.resource_id, $22::text) as resource_id,
        coalesce(given.resource_action, $23::text) as resource_action,
        coalesce(given.dialog_id, $24::text) as dialog_id,
        coalesce(given.transmission_id, $25::text) as transmission_id,
        coalesce(given.created_at, $26::timestamptz) as created_at,
        coalesce(given.requested_at, $27::timestamptz, given.created_at, $26::timestamptz) as requested_at
    from unnest(
        $1::uuid[], $2::uuid[], $3::bytea[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::timestamptz[], $15::timestamptz[]
    ) as given (
        id, chain_id, content, position, creator, kind, channel, sending_policy, senders_reference,
        resource_id, resource_action, dialog_id, transmission_id, created_at, requested_at
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
