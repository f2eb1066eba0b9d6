package protocols_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// A Kafka request has its number 4 bytes into the frame, a reply at the front.
func TestKafka(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	config := gtcp.ClientConfig{
		Format: framing.Format{HeaderSize: 4},
		Match:  pipeline.Number{Offset: 4, Size: 4, Reply: &pipeline.Number{Size: 4}},
	}
	eachMode(t, cluster.ListenAddrs()[0], config, func(t *testing.T, c *gtcp.Client) {
		var callers sync.WaitGroup
		for i := range 16 {
			callers.Go(func() {
				for range 20 {
					number := uint32(i) << 16
					reply, err := c.Call(t.Context(), apiVersions(number))
					if err != nil {
						t.Error(err)
						return
					}
					// The number, an error code of 0 and the versions.
					if len(reply) < 10 || binary.BigEndian.Uint32(reply) != number || binary.BigEndian.Uint16(reply[4:]) != 0 {
						t.Errorf("reply % x", reply)
						return
					}
				}
			})
		}
		callers.Wait()
	})
}

// apiVersions is the request by which a Kafka client learns what a broker knows.
func apiVersions(number uint32) []byte {
	b := []byte{0, 18, 0, 0} // the API's key and version
	b = binary.BigEndian.AppendUint32(b, number)
	return append(b, 0xff, 0xff) // no client ID
}
