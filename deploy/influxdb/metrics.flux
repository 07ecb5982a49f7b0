import "experimental/prometheus"

option task = {name: "driftline metrics", every: 10s}

prometheus.scrape(url: "http://driftline:8000/metrics")
    |> to(bucket: "driftline")
