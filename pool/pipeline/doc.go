// Package pipeline carries the calls of many callers over few connections:
// requests and replies are frames, answered in the order they were asked.
package pipeline
