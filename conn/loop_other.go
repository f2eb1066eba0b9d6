//go:build !linux || gtcp_noloop

package conn

const canLoop = false

func (k *core) interruptLoop() {}
