"""Stage 7 of 7: from score to verdict to alarm, and its life. Imports `devices` only."""
