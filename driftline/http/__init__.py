"""The HTTP API and the page: reads what the service has stored and what it is doing, and changes nothing."""
