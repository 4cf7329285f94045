-- Budgets and clean-up.

-- name: take_budget
-- Take $3 of the budget $4 of scope $1 in slice $2; no row when less than that is left.
insert into rate_limit (scope, slice, used) values ($1, $2, $3)
on conflict (scope, slice) do update set used = rate_limit.used + excluded.used
where rate_limit.used + excluded.used <= $4
returning used;

-- name: sweep
-- Forget what has expired: grants, transactions, sessions, budgets; bounded, so that it never runs long.
with grants as (
    delete from grant_replay where ctid = any(array(
        select ctid from grant_replay where expires_at < $1 limit 5000))
), transactions as (
    delete from oidc_transaction where ctid = any(array(
        select ctid from oidc_transaction where expires_at < $1 limit 1000))
), sessions as (
    delete from session where ctid = any(array(
        select ctid from session where expires_at < $1 limit 1000))
)
delete from rate_limit where slice < $2;
