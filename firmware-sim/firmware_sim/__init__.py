"""Simulated devices with labelled faults: a device-side program that shares only the vocabulary with the service."""
