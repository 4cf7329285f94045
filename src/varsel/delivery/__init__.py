"""Delivery: due orders, plans, states, sending, reports and expiry."""
