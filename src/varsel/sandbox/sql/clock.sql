-- name: read_shift
-- How far the calendar is ahead of the machine.
select shift from calendar;

-- name: claim_mode
-- Write down that this database serves $1, where nothing is written yet.
update calendar set mode = $1 where mode is null;

-- name: read_mode
-- What this database serves.
select mode from calendar;

-- name: advance_shift
-- Move the calendar on by $1; the new shift.
update calendar set shift = shift + $1 returning shift;

-- name: reset_shift
-- Take the calendar back to the machine's time.
update calendar set shift = '0';

-- name: stamped_after
-- How many facts the moved calendar has dated after $1: they would lie in the future.
select
    (select count(*) from orders where created_at > $1) as orders,
    (select count(*) from notification where status_at > $1) as results,
    (select count(*) from sandbox_message where received_at > $1) as messages;
