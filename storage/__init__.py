"""Stages 2 and 6 of 7: the journal, the embedded database and the external stores. Imports `devices` only."""
