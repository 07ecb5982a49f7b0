"""Stage 5 of 7: online detectors over plain arrays, one file a detector, one line in `registry`.

Imports nothing of ours.
"""
