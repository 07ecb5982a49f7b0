"""Traces: the way of single messages through the stages, kept for the page and sent to a collector."""
