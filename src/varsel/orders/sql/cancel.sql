-- name: lock_order
-- The state of an order of this creator, locked: a handoff takes a share lock on the same row, so one of the two comes first.
select id, state from orders where id = $1 and creator = $2 and state <> 'Void' for update;

-- name: lock_chain
-- The states of all orders of a chain of this creator, locked in the order of their ids.
select id, state from orders where chain_id = $1 and creator = $2 and state <> 'Void' order by id for update;

-- name: cancel
-- Cancel those of the locked orders that nothing has left of; unsent messages go away. Answers the ids that were cancelled.
with open as (
    select id
    from orders
    where id = any($1::uuid[]) and state in ('Registered', 'Processing', 'Processed')
        and not exists (select from handoff where handoff.order_id = orders.id)
        and not exists (select from attempt where attempt.order_id = orders.id)
), waiting as (
    delete from due where order_id in (select id from open)
), unsent as (
    delete from ready where order_id in (select id from open)
), reserve as (
    delete from reserve where order_id in (select id from open)
), messages as (
    delete from notification where order_id in (select id from open)
)
update orders
set state = 'Cancelled', state_at = $2, ended_at = $2, remaining = 0
where id in (select id from open)
returning id;

-- name: chain_states
-- The shipments of a chain in their order.
select id, state, convert_to(to_json(senders_reference)::text, 'UTF8') as senders_reference
from orders where chain_id = $1 and creator = $2 order by position;
