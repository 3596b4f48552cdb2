package transport

import (
	"fmt"
	"net/http"
	"strings"
)

func (a *Admin) livez(w http.ResponseWriter, _ *http.Request) error {
	if err := a.opts.Health.Live(); err != nil {
		return &adminFault{adminNotLive, err.Error(), nil}
	}
	return answerJSON(w, 200, map[string]any{"live": true})
}

// readyz answers 200 when no check but a minor one fails. With verbose it lists
// them all, a line each.
func (a *Admin) readyz(w http.ResponseWriter, r *http.Request) error {
	checks := a.opts.Health.Checks()
	var reasons []string
	for _, c := range checks {
		if c.Err != nil && !c.Minor {
			reasons = append(reasons, c.Name+": "+c.Err.Error())
		}
	}
	switch {
	case r.URL.Query().Has("verbose"):
		listChecks(w, checks, len(reasons) == 0)
		return nil
	case len(reasons) > 0:
		return &adminFault{adminNotReady, strings.Join(reasons, "; "), nil}
	}
	return answerJSON(w, 200, map[string]any{"ready": true})
}

// listChecks writes checks as Kubernetes does, for people and for their scripts.
func listChecks(w http.ResponseWriter, checks []Check, ready bool) {
	head(w, "text/plain; charset=utf-8")
	status, outcome := 200, "passed"
	if !ready {
		status, outcome = adminNotReady.status, "failed"
		retryAfter(w, adminNotReady)
	}
	w.WriteHeader(status)
	for _, c := range checks {
		if c.Err == nil {
			fmt.Fprintf(w, "[+]%s ok\n", c.Name)
		} else {
			fmt.Fprintf(w, "[-]%s: %s\n", c.Name, strings.ReplaceAll(c.Err.Error(), "\n", "; "))
		}
	}
	fmt.Fprintf(w, "readyz check %s\n", outcome) // an error is the connection's: there is nobody to tell
}

func (a *Admin) status(w http.ResponseWriter, _ *http.Request) error {
	s := a.opts.Node.Status()
	if s.Members == nil {
		s.Members = []Member{}
	}
	reflects(w, s.AppliedIndex)
	return answerJSON(w, 200, s)
}
