"""Channels: each asks one question of a series, in one compiled call a reading, over state arrays indexed by slot."""
