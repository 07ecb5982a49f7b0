"""The way of a message, in flow order: session, receive, decode, route, order, score, pipeline."""
