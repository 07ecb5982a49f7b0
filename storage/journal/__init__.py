"""The journal: every raw message, durable and in order, before anything is made of it."""
