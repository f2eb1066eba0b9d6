// Package outage makes the outages of docs/outage.md, on loopback sockets, and
// holds the page to what the metrics and the debug page then show. Each section of
// the page has a table of figures; TestOutages makes the outage and waits until
// every row of the table is true.
package outage
