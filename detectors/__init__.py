"""Score: online detectors over plain arrays, one file a detector, one line in `registry`.

Imports nothing of ours.
"""
