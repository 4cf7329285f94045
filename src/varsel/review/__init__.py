"""Review: what happened. Status, shipments, feed, log, metrics, search and webhooks."""
