"""SMS: counting parts, the LINK Mobility gateway (PSWin XML) and its delivery reports."""
