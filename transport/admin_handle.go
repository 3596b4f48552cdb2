package transport

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

func (a *Admin) takeSnapshot(w http.ResponseWriter, r *http.Request) error {
	info, err := a.opts.Snapshots.Take(r.Context())
	if err != nil {
		return err
	}
	reflects(w, info.Index)
	return answerJSON(w, 201, info)
}

func (a *Admin) listSnapshots(w http.ResponseWriter, _ *http.Request) error {
	list, err := a.opts.Snapshots.List()
	if err != nil {
		return err
	}
	if list == nil {
		list = []SnapshotInfo{}
	}
	return answerJSON(w, 200, map[string]any{"snapshots": list})
}

// openSnapshot streams a snapshot. A fault half-way cuts the connection, so that
// no client takes a part for the whole.
func (a *Admin) openSnapshot(w http.ResponseWriter, r *http.Request) error {
	content, err := a.opts.Snapshots.Open(r.PathValue("id"))
	if err != nil {
		return err
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/x-tar")
	if _, err := io.Copy(w, content); err != nil {
		a.opts.Logger.Error("snapshot download cut off", "snapshot", r.PathValue("id"), "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (a *Admin) verify(w http.ResponseWriter, r *http.Request) error {
	var deep bool
	switch v := r.URL.Query().Get("deep"); v {
	case "", "false":
	case "true":
		deep = true
	default:
		return &adminFault{meanings[codeInvalidRequest], "must be true or false", map[string]any{"param": "deep"}}
	}
	report, err := a.opts.Verifier.Verify(r.Context(), deep)
	if err != nil {
		return err
	}
	if report.Currencies == nil {
		report.Currencies = map[string]CurrencyTotal{}
	}
	reflects(w, report.Index)
	return answerJSON(w, 200, report)
}

func (a *Admin) transferLeadership(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		To string `json:"to"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	t, err := a.opts.Membership.TransferLeadership(r.Context(), in.To)
	if err != nil {
		return reject(adminCannotTransfer, err)
	}
	return answerJSON(w, 200, t)
}

func (a *Admin) addMember(w http.ResponseWriter, r *http.Request) error {
	in := struct {
		ID       *string `json:"id"`
		RaftAddr *string `json:"raft_addr"`
		APIAddr  *string `json:"api_addr"`
		Voter    *bool   `json:"voter"`
	}{}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	switch {
	case in.ID == nil || *in.ID == "":
		return missing("id")
	case in.RaftAddr == nil || *in.RaftAddr == "":
		return missing("raft_addr")
	case in.APIAddr == nil || *in.APIAddr == "":
		return missing("api_addr")
	}
	m := Member{ID: *in.ID, RaftAddr: *in.RaftAddr, APIAddr: *in.APIAddr, Voter: in.Voter == nil || *in.Voter}
	if err := a.opts.Membership.AddMember(r.Context(), m); err != nil {
		return reject(adminCannotChangeMembers, err)
	}
	return answerJSON(w, 201, m)
}

func missing(param string) error {
	return &adminFault{meanings[codeInvalidRequest], "the field is required", map[string]any{"param": param}}
}

func (a *Admin) removeMember(w http.ResponseWriter, r *http.Request) error {
	if err := a.opts.Membership.RemoveMember(r.Context(), r.PathValue("id")); err != nil {
		return reject(adminCannotChangeMembers, err)
	}
	return answerJSON(w, 200, map[string]any{"removed": r.PathValue("id")})
}

// reject says why a change of the cluster cannot be made, unless err already
// says more than that.
func reject(m meaning, err error) error {
	var elsewhere *NotLeaderError
	if errors.As(err, &elsewhere) {
		return err
	}
	return &adminFault{m, err.Error(), nil}
}

// readJSON decodes a request's body, an object of known fields. No body at all
// is an empty object.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &adminFault{meanings[codeBodyTooLarge], "the body is larger than 64 KiB", nil}
	case err != nil:
		return &adminFault{meanings[codeInvalidRequest], "the body did not arrive", nil}
	case len(body) == 0:
		return nil
	case !isJSON([]byte(r.Header.Get("Content-Type"))):
		return &adminFault{meanings[codeUnsupportedMediaType], "Content-Type must be application/json", nil}
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &adminFault{meanings[codeInvalidJSON], err.Error(), nil}
	}
	if _, err := d.Token(); err != io.EOF {
		return &adminFault{meanings[codeInvalidJSON], "something follows the JSON value", nil}
	}
	return nil
}
