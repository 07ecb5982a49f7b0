"""The inside of a simulated device: its states, its connection, its scheduler."""
