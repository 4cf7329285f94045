-- name: lock_order
-- The state of an order of this creator, locked: a handoff takes a share lock on the same row, so one of the two comes first.
select id, state from orders where id = $1 and creator = $2 and state <> 'Void' for update;

-- name: lock_chain
-- The states of all orders of a chain of this creator, locked in the order of their ids.
select id, state from orders where chain_id = $1 and creator = $2 and state <> 'Void' order by id for update;

-- name: not_left
-- Those of the locked orders that nothing has left of. Nothing can while they are locked. (By the parameter and without a join, here and
-- in the next statement: a join may read all that a queue ever held, see docs/decisions/0010-queue-plans.md.)
select id
from orders
where id = any($1::uuid[]) and state in ('Registered', 'Processing', 'Processed')
    and id not in (select order_id from handoff where order_id = any($1::uuid[]))
    and not exists (select from attempt where attempt.order_id = orders.id);

-- name: cancel
-- Cancel these locked orders; their unsent messages go away.
with waiting as (
    delete from due where order_id = any($1::uuid[])
), unsent as (
    delete from ready where order_id = any($1::uuid[])
), reserve as (
    delete from reserve where order_id = any($1::uuid[])
), messages as (
    delete from notification where order_id = any($1::uuid[])
)
update orders
set state = 'Cancelled', state_at = $2, ended_at = $2, remaining = 0
where id = any($1::uuid[]);

-- name: chain_states
-- The shipments of a chain in their order.
select id, state, convert_to(to_json(senders_reference)::text, 'UTF8') as senders_reference
from orders where chain_id = $1 and creator = $2 order by position;
