"""Continuous SQL: standing questions of the stream, answered window by window, beside the alarms."""
