-- name: instant_stands
-- An instant order that its provider has, or may have, or will get: it is an order like any other from here on.
update orders set state = 'Processed', state_at = $2 where id = $1 and state = 'Attempting';

-- name: instant_goes_elsewhere
-- The provider of attempt $1 certainly did not get an instant message: that is written down, with $4 and $5, and attempt $2 through
-- provider $3 is open in its place, where nobody settled it meanwhile.
with before as (
    select * from handoff where attempt_id = $1 and unknown_at is null for update
), tried as (
    insert into attempt (order_id, id, notification_id, number, provider, begun_at, ended_at, outcome, code, detail)
    select order_id, attempt_id, notification_id, number, provider, begun_at, clock_timestamp(), 'temporary', $4, $5 from before
), moved as (
    update notification n set provider = $3 from before b where n.order_id = b.order_id and n.id = b.notification_id
)
update handoff h set attempt_id = $2, provider = $3, number = b.number + 1, begun_at = clock_timestamp()
from before b where h.attempt_id between b.attempt_id and b.attempt_id
returning h.attempt_id;

-- name: void_instant
-- An instant order that its provider certainly did not get: nothing of it stays but the order row, and its key is free again.
with gone as (
    update orders set state = 'Void', state_at = $2, ended_at = $2, remaining = 0 where id = $1 and state = 'Attempting'
    returning id, chain_id
), handed as (
    delete from handoff where order_id in (select id from gone)
), tried as (
    delete from attempt where order_id = $1 and exists (select from gone)
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
