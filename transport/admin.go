package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminOptions configures an Admin. Everything but Logger is required.
type AdminOptions struct {
	Node       Node
	Health     Health
	Snapshots  Snapshots
	Membership Membership
	Verifier   Verifier
	Gatherer   prometheus.Gatherer // what /metrics shows
	// Logger takes what cannot be told to a client. Default: slog.Default().
	Logger *slog.Logger
}

// Validate returns all faults of o joined, nil if there are none.
func (o AdminOptions) Validate() error {
	var faults []error
	check := func(ok bool, fault string) {
		if !ok {
			faults = append(faults, errors.New("transport: admin: "+fault))
		}
	}
	check(o.Node != nil, "a Node is required")
	check(o.Health != nil, "a Health is required")
	check(o.Snapshots != nil, "Snapshots is required")
	check(o.Membership != nil, "a Membership is required")
	check(o.Verifier != nil, "a Verifier is required")
	check(o.Gatherer != nil, "a Gatherer is required")
	return errors.Join(faults...)
}

// Admin serves the operators' listener: health, metrics, profiles, snapshots,
// members. It is separate from the public API so that it answers when that is
// overloaded, and so that it can listen where no client reaches it.
type Admin struct {
	opts AdminOptions
	ids  *requestIDs
	http *http.Server
}

// NewAdmin returns an Admin that is ready to Serve, or what is wrong with o.
func NewAdmin(o AdminOptions) (*Admin, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	a := &Admin{opts: o, ids: newRequestIDs()}
	a.http = &http.Server{
		Handler:           a.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
		// No WriteTimeout: a snapshot or a profile takes as long as it takes.
	}
	return a, nil
}

// Serve answers the connections of ln until Shutdown, and then returns nil.
func (a *Admin) Serve(ln net.Listener) error {
	if err := a.http.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown closes the listener and returns when every request in flight is
// answered. When ctx ends first, it cuts off those that are left, such as a
// download of a snapshot, and returns ctx's error.
func (a *Admin) Shutdown(ctx context.Context) error {
	err := a.http.Shutdown(ctx)
	if err != nil {
		a.http.Close()
	}
	return err
}

// methods are the handlers of one path, by HTTP method.
type methods map[string]func(http.ResponseWriter, *http.Request) error

func (a *Admin) routes() http.Handler {
	mux := http.NewServeMux()
	for path, m := range map[string]methods{
		"/livez":                    {"GET": a.livez},
		"/readyz":                   {"GET": a.readyz},
		"/admin/v1/status":          {"GET": a.status},
		"/admin/v1/snapshots":       {"GET": a.listSnapshots, "POST": a.takeSnapshot},
		"/admin/v1/snapshots/{id}":  {"GET": a.openSnapshot},
		"/admin/v1/leader-transfer": {"POST": a.transferLeadership},
		"/admin/v1/members":         {"POST": a.addMember},
		"/admin/v1/members/{id}":    {"DELETE": a.removeMember},
		"/admin/v1/verify":          {"POST": a.verify},
		"/metrics":                  {"GET": plain(promhttp.HandlerFor(a.opts.Gatherer, promhttp.HandlerOpts{}))},
		"/debug/pprof/":             {"GET": plain(http.HandlerFunc(pprof.Index))},
		"/debug/pprof/cmdline":      {"GET": plain(http.HandlerFunc(pprof.Cmdline))},
		"/debug/pprof/profile":      {"GET": plain(http.HandlerFunc(pprof.Profile))},
		"/debug/pprof/trace":        {"GET": plain(http.HandlerFunc(pprof.Trace))},
		"/debug/pprof/symbol":       {"GET": plain(http.HandlerFunc(pprof.Symbol)), "POST": plain(http.HandlerFunc(pprof.Symbol))},
		"/":                         {},
	} {
		mux.Handle(path, a.route(m))
	}
	return a.identify(mux)
}

// identify gives every response the headers that all have, ServeMux's own
// redirects included.
func (a *Admin) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !saneRequestID([]byte(id)) {
			id = string(a.ids.append(nil))
		}
		w.Header().Set("X-Request-Id", id)
		reflects(w, a.opts.Node.Applied())
		next.ServeHTTP(w, r)
	})
}

func plain(h http.Handler) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}
