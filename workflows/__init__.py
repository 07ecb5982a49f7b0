"""Workflows: definitions as data (Amazon States Language), and runs of them that outlive a kill."""
