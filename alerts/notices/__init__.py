"""Telling people of alarms: which channel is told of what, in which words, and an outbox that loses nothing."""
