"""The HTTP API and the page: what the service has stored, what it is doing, and what people decide about it."""
