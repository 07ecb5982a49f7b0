"""Journal and store: the journal, the embedded database and the external stores. Imports `devices` only."""
