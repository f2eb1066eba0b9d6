// Package promgtcp gives the figures of clients, pools, pipelines and servers to
// Prometheus.
//
// A [Collector] asks each of them for its Stat when Prometheus scrapes. It needs
// no hooks, so a call costs nothing more. Register it once and add what it
// should observe, each under a name of its own:
//
//	metrics := promgtcp.New()
//	prometheus.MustRegister(metrics)
//	metrics.AddClient("orders", client)
//	metrics.AddServer("api", srv)
//
// The label "name" is the name given to Add. No label holds an address: the
// number of series does not grow with the number of servers of a service.
// dashboard.json is a Grafana dashboard of these metrics.
package promgtcp
