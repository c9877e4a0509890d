package task

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
)

// Names of the service. The messages of both versions are the same on the wire
// (containerd api 1.12), so the types of v3 serve both.
const (
	ServiceV2 = "containerd.task.v2.Task"
	ServiceV3 = "containerd.task.v3.Task"
)

// Register serves both versions of the Task service on one server.
func (s *Service) Register(server *ttrpc.Server) {
	var _ taskapi.TTRPCTaskService = s // every method is there
	desc := &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"State":      method(s.State),
		"Create":     method(s.Create),
		"Start":      method(s.Start),
		"Delete":     method(s.Delete),
		"Pids":       method(s.Pids),
		"Pause":      method(s.Pause),
		"Resume":     method(s.Resume),
		"Checkpoint": method(s.Checkpoint),
		"Kill":       method(s.Kill),
		"Exec":       method(s.Exec),
		"ResizePty":  method(s.ResizePty),
		"CloseIO":    method(s.CloseIO),
		"Update":     method(s.Update),
		"Wait":       method(s.Wait),
		"Stats":      method(s.Stats),
		"Connect":    method(s.Connect),
		"Shutdown":   method(s.Shutdown),
	}}
	server.RegisterService(ServiceV2, desc)
	server.RegisterService(ServiceV3, desc)
}

func method[Req, Resp any](call func(context.Context, *Req) (*Resp, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		var req Req
		if err := unmarshal(&req); err != nil {
			return nil, err
		}
		return call(ctx, &req)
	}
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
