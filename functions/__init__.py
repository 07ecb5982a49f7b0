"""Functions: code of people's own, and ready-made actions, run on what happens, outside the service's process."""
