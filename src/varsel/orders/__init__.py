"""Orders: accept, validate, register and cancel. The front door."""
