package transport

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Errors that only the admin listener has, in the form of the public ones.
var (
	adminNotLive             = meaning{name: "not_live", status: 503, title: "Not live"}
	adminNotReady            = meaning{name: "not_ready", status: 503, title: "Not ready", retryable: true, retryAfter: 1}
	adminSnapshotNotFound    = meaning{name: "snapshot_not_found", status: 404, title: "Snapshot not found"}
	adminNotLeader           = meaning{name: "not_leader", status: 409, title: "Not leader", retryable: true}
	adminCannotTransfer      = meaning{name: "cannot_transfer", status: 409, title: "Cannot transfer leadership"}
	adminCannotChangeMembers = meaning{name: "cannot_change_members", status: 409, title: "Cannot change members"}
)

// adminFault is an error with its place in the API. members are further fields
// of the problem.
type adminFault struct {
	meaning meaning
	detail  string
	members map[string]any
}

func (f *adminFault) Error() string { return f.meaning.name + ": " + f.detail }

// crossOrigin refuses what a web page of another origin makes an operator's
// browser send: the listener has no authentication, and some of its calls need
// no body that a browser would ask permission for.
var crossOrigin = http.NewCrossOriginProtection()

// route serves one path: it picks the method, and makes a handler's error the
// response.
func (a *Admin) route(m methods) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := crossOrigin.Check(r); err != nil {
			a.refuse(w, &adminFault{meanings[codeForbidden], err.Error(), nil})
			return
		}
		name := r.Method
		if name == http.MethodHead {
			name = http.MethodGet
		}
		serve := m[name]
		if serve == nil {
			serve = func(w http.ResponseWriter, r *http.Request) error { return noHandler(w, m) }
		}
		if err := serve(w, r); err != nil {
			a.refuse(w, err)
		}
	})
}

func noHandler(w http.ResponseWriter, m methods) error {
	if len(m) == 0 {
		return &adminFault{meanings[codeNotFound], "there is nothing at this path", nil}
	}
	allowed := slices.Collect(maps.Keys(m))
	if m["GET"] != nil {
		allowed = append(allowed, "HEAD")
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return &adminFault{meanings[codeMethodNotAllowed], "the methods here are " + strings.Join(allowed, ", "), nil}
}

// refuse answers with the problem that err is.
func (a *Admin) refuse(w http.ResponseWriter, err error) {
	f := a.classify(err)
	m := f.meaning
	problem := map[string]any{
		"type": "/problems/" + m.name, "title": m.title, "status": m.status, "code": m.name,
		"detail": f.detail, "retryable": m.retryable, "request_id": w.Header().Get("X-Request-Id"),
	}
	maps.Copy(problem, f.members)
	head(w, string(typeProblem))
	retryAfter(w, m)
	w.WriteHeader(m.status)
	json.NewEncoder(w).Encode(problem) // an error is the connection's: there is nobody to tell
}

func (a *Admin) classify(err error) *adminFault {
	var f *adminFault
	var elsewhere *NotLeaderError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &elsewhere):
		return &adminFault{adminNotLeader, err.Error(), map[string]any{"leader": elsewhere.Leader}}
	case errors.Is(err, ErrSnapshotNotFound):
		return &adminFault{adminSnapshotNotFound, ErrSnapshotNotFound.Error(), nil}
	}
	for _, known := range failures {
		if errors.Is(err, known.err) {
			return &adminFault{meanings[known.code], err.Error(), nil}
		}
	}
	a.opts.Logger.Error("admin request failed", "error", err)
	return &adminFault{meanings[codeInternal], err.Error(), nil}
}

func answerJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	head(w, string(typeJSON))
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // an error is the connection's: there is nobody to tell
	return nil
}

// reflects records the log index that the response reflects: at first what is
// applied when the request comes, later what the handler knows better.
func reflects(w http.ResponseWriter, index uint64) {
	w.Header().Set("Purser-Index", strconv.FormatUint(index, 10))
}

// head says what follows, which holds for this moment alone.
func head(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
}

func retryAfter(w http.ResponseWriter, m meaning) {
	if m.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(m.retryAfter))
	}
}
