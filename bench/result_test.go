package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestResultForms(t *testing.T) {
	f := startFake(t)
	f.status = func(operation) int { return 402 }
	r, err := Run(t.Context(), Config{Targets: []string{f.target()}, Connections: 1, Requests: 3})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.JSON(&out); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Throughput *float64
		Codes      map[string]int
		Response   struct{ P50 float64 } `json:"response_us"`
		Machine    struct{ CPUs int }
		Config     struct{ Connections int }
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Throughput == nil || back.Codes["402"] != 3 || back.Response.P50 <= 0 || back.Machine.CPUs < 1 || back.Config.Connections != 1 {
		t.Errorf("JSON: %s", &out)
	}
	again, err := ReadResult(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("read back (-written +read):\n%s", diff)
	}
	h, err := again.Response.Decode()
	if err != nil || h.TotalCount() != 3 || float64(h.Max())/1e3 != r.Response.Max {
		t.Errorf("histogram: %+v, %v", h, err)
	}
	out.Reset()
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"throughput     0 payments/s", "status 402     3", `{"status":402`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, &out)
		}
	}
}

func TestReadResultRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "EOF",
		"{":                      "unexpected EOF",
		`{"throughput": 1}`:      "not the result of a run",
		`{"format": 2}`:          "format 2 is newer",
		`{"format": "1"}`:        "cannot unmarshal",
		`{"format": 1, "xs": 3}`: "",
	} {
		_, err := ReadResult(strings.NewReader(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}
