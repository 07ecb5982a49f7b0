"""Backtest, parameter search, benchmark corpora and score cards, on the same engine as production."""
