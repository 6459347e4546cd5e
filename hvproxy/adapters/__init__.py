"""Everything with a file descriptor: sockets, HTTP, clocks. Performs the core's commands and feeds it events.

The only importers of twisted and prometheus_client. runtime owns the loop between core and sockets, sockets opens
them, http and metrics serve people and Prometheus.
"""
