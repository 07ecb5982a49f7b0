"""The roof: configuration, command line, HTTP API and the service's life cycle."""
