package protocols_test

import (
	"encoding/binary"
	"io"
	"log"
	"sync"
	"testing"
	"time"

	"github.com/simonvetter/modbus"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// registers are holding registers that hold their own numbers.
type registers struct{}

func (registers) HandleCoils(*modbus.CoilsRequest) ([]bool, error) {
	return nil, modbus.ErrIllegalFunction
}
func (registers) HandleDiscreteInputs(*modbus.DiscreteInputsRequest) ([]bool, error) {
	return nil, modbus.ErrIllegalFunction
}
func (registers) HandleInputRegisters(*modbus.InputRegistersRequest) ([]uint16, error) {
	return nil, modbus.ErrIllegalFunction
}
func (registers) HandleHoldingRegisters(r *modbus.HoldingRegistersRequest) (values []uint16, err error) {
	for i := range r.Quantity {
		values = append(values, r.Addr+i)
	}
	return values, nil
}

func modbusServer(t *testing.T) string {
	addr, release, err := faultproxy.HeldAddr() // the library wants a port by number
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, release()) })
	srv, err := modbus.NewServer(&modbus.ServerConfiguration{
		URL: "tcp://" + addr, Timeout: time.Minute, MaxClients: 100, Logger: log.New(io.Discard, "", 0),
	}, registers{})
	require.NoError(t, err)
	require.NoError(t, srv.Start())
	t.Cleanup(func() { _ = srv.Stop() })
	return addr
}

// The Format and Match are those of examples/modbus; the server is another's.
func TestModbus(t *testing.T) {
	config := gtcp.ClientConfig{
		Format: framing.Format{LengthOffset: 4, HeaderSize: 2, Strip: -1, MaxSize: 260},
		Match:  pipeline.Number{Size: 2},
	}
	eachMode(t, modbusServer(t), config, func(t *testing.T, c *gtcp.Client) {
		var callers sync.WaitGroup
		for i := range 32 {
			callers.Go(func() {
				for j := range 50 {
					first := uint16(i*50 + j)
					request := []byte{0x47, 0x11, 0, 0, 0, 0, 1, 3, byte(first >> 8), byte(first), 0, 2}
					reply, err := c.Call(t.Context(), request)
					if err != nil {
						t.Error(err)
						return
					}
					want := append([]byte{0x47, 0x11, 0, 0, 0, 7, 1, 3, 4}, 0, 0, 0, 0)
					binary.BigEndian.PutUint16(want[9:], first)
					binary.BigEndian.PutUint16(want[11:], first+1)
					if string(reply) != string(want) {
						t.Errorf("register %d: % x", first, reply)
						return
					}
				}
			})
		}
		callers.Wait()
	})
}
