"""When and how messages leave, and what becomes of them: due orders, plans, handoffs, reports, expiry, the feed.

docs/reference/delivery.md is the contract. Every row that is not final has an owner and a deadline (11.3 rule 1).
"""
