//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package conn

// checker is not used where sockets cannot be peeked at.
type checker struct{ lost error }

func (k *core) openRaw() {}

func (k *core) fillRaw() (int, error) { return 0, nil }

func (k *core) checkSocket() (readable bool, err error) { return false, nil }

func (k *core) askSocket(p []byte) (n int, rest bool, err error) { return 0, true, nil }
