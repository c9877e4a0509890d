// Package rpc is what the shim's ttrpc services have in common.
package rpc

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"

	"github.com/containerd-wazero/containerd-shim-wazero/pkg/shim/wire"
)

// pointer is a pointer to T that is a message.
type pointer[T any] interface {
	*T
	wire.Message
}

// Method makes a method of a service out of a function.
func Method[T any, Req pointer[T], Resp wire.Message](call func(context.Context, Req) (Resp, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		req := Req(new(T))
		if err := unmarshal(wire.Proto(req)); err != nil {
			return nil, err
		}
		resp, err := call(ctx, req)
		if err != nil {
			return nil, err
		}
		return wire.Proto(resp), nil
	}
}

// Call calls a method of a service at the other end of a connection.
func Call(ctx context.Context, client *ttrpc.Client, service, method string, req, resp wire.Message) error {
	return client.Call(ctx, service, method, wire.Proto(req), wire.Proto(resp))
}

var errPanic = fmt.Errorf("the shim failed on this request, its log says where: %w", errdefs.ErrInternal)

// Intercept is the server's interceptor: it logs failures, turns errors into
// those of gRPC, and keeps a panic in one request from ending all containers.
func Intercept(logger *log.Entry) ttrpc.UnaryServerInterceptor {
	return func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, call ttrpc.Method) (_ any, err error) {
		defer func() {
			if r := recover(); r != nil {
				logger.WithField("method", info.FullMethod).Errorf("panic: %v\n%s", r, debug.Stack())
				err = errgrpc.ToGRPC(errPanic)
			}
		}()
		deepen()
		begin := time.Now()
		resp, err := call(ctx, unmarshal)
		entry := logger.WithFields(log.Fields{"method": info.FullMethod, "duration": time.Since(begin)})
		if err != nil {
			entry.WithError(err).Debug("request failed")
			return nil, errgrpc.ToGRPC(err)
		}
		entry.Debug("request done")
		return resp, nil
	}
}

// deepen makes the stack of a new goroutine as deep as most requests need it, while
// there is nothing on it yet to be copied, as there is each time that it doubles.
//
//go:noinline
func deepen() byte {
	var depth [12 << 10]byte
	return depth[len(os.Args)]
}
