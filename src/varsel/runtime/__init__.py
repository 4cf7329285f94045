"""Runtime: settings, clocks, errors, the HTTP table, telemetry, the guarded client and the composition of roles."""
