"""Store: PostgreSQL, the only state and the only queue. Pool, transactions, wake-ups, migrations, the embedded server."""
