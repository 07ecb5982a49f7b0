"""Who may see and do what: users, roles, sessions, API tokens, and the log of what people did."""
