-- name: instant_stands
-- An instant order that its provider has, or may have, or will get: it is an order like any other from here on.
update orders set state = 'Processed', state_at = $2 where id = $1 and state = 'Attempting';

-- name: void_instant
-- An instant order that its provider certainly did not get: nothing of it stays but the order row, and its key is free again.
with gone as (
    update orders set state = 'Void', state_at = $2, ended_at = $2, remaining = 0 where id = $1 and state = 'Attempting'
    returning id, chain_id
), handed as (
    delete from handoff where order_id in (select id from gone)
), unsent as (
    delete from notification where order_id in (select id from gone)
), texts as (
    delete from order_content where order_id in (select id from gone)
)
delete from idempotency where chain_id in (select chain_id from gone);

-- name: pauses
-- Seconds that pauses of providers still last.
select json_object_agg(provider, extract(epoch from paused_until - clock_timestamp())) from provider_state
where paused_until > clock_timestamp();
