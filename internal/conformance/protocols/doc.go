// Package protocols runs gtcp.Client against servers that others wrote: a DNS
// library's, which replies out of order, a Modbus library's, and a Kafka fake.
// It has nothing but tests.
package protocols
