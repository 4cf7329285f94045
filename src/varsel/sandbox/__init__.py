"""Sandbox: a world to test in. Inbox, gateway simulator, magic addresses, movable clock."""
