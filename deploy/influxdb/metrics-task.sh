#!/bin/bash
# Runs once, when the database is set up: the service's own figures go into the same bucket, for the pipeline dashboard.
set -eu
influx task create --org "$DOCKER_INFLUXDB_INIT_ORG" --token "$(cat "$DOCKER_INFLUXDB_INIT_ADMIN_TOKEN_FILE")" \
    --file "$(dirname "$0")/metrics.flux"
