-- The monthly metrics page of months whose orders are gone: added up in the transaction that drops them (varsel.delivery.months).
create table metric_monthly (
    month            date   not null,                  -- of the orders' requested time, UTC
    creator          text   not null,
    orders           bigint not null,
    emails           bigint not null,
    emails_succeeded bigint not null,
    sms              bigint not null,                  -- parts
    sms_succeeded    bigint not null,
    primary key (month, creator)
);
