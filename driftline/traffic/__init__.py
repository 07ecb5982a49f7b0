"""Real MQTT traffic as a file: recorded from a broker, anonymised on request, and read back to be replayed."""
