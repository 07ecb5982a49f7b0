"""What a person sees: the built-in web page, and the Grafana dashboards as code."""
