"""Alarm: from score to verdict to alarm, and its life. Imports `devices` only."""
