"""Decode: codecs turn payload bytes into columns of readings. One file a codec, one line in `registry`."""
