"""The shared vocabulary: messages, readings, batches, records; codecs, device profiles, the registry.

Imports nothing of ours; every other room may import this one.
"""
