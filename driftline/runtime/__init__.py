"""The running service: its stages' threads, start, recovery, and what it runs beside itself."""
