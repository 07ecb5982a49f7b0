"""External databases: line protocol, the spool before them, and their readers."""
