"""Recipients: who gets a message, and at which address."""
