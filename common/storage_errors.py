"""What is raised where bytes cannot be stored, or are not what was stored."""


class StorageFullError(Exception):
    """The disk or the quota is full: nothing was written, and the same write may succeed later."""


class StorageCorruptError(Exception):
    """Stored bytes are not what was written; the message names the file and what can be done."""
