"""One file a command; `driftline.cli` lists them."""
