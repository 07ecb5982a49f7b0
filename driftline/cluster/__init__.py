"""Past one machine: receivers that share the messages of a broker, and what reads the Kafka topic that they write."""
