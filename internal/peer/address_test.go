package peer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"purser/internal/nodetls"
)

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "localhost:1": true,
		"0.0.0.0:1": false, "[::]:1": false, ":1": false, "10.0.0.1:1": false, "node1:1": false, "localhost.example:1": false,
		"127.0.0.1": false, "": false,
	} {
		if got := Loopback(addr); got != want {
			t.Errorf("Loopback(%q) = %v", addr, got)
		}
	}
}

func TestRefusesAnAddressOthersCannotDial(t *testing.T) {
	for _, c := range []struct{ bind, advertise, names string }{
		{"0.0.0.0:0", "", "0.0.0.0:0"},
		{"[::]:0", "", "[::]:0"},
		{"[::ffff:0.0.0.0]:0", "", "[::ffff:0.0.0.0]:0"},
		{":0", "", ":0"},
		{"127.0.0.1", "", "127.0.0.1"},
		{"127.0.0.1:0", "0.0.0.0:7001", "0.0.0.0:7001"},
		{"127.0.0.1:0", "[::]:7001", "[::]:7001"},
		{"127.0.0.1:0", "node1:0", "node1:0"},
		{"127.0.0.1:0", "node1", "node1"},
		{"127.0.0.1:0", ":7001", ":7001"},
	} {
		p, err := Listen(Config{Bind: c.bind, Advertise: c.advertise, AllowInsecure: true})
		if err == nil {
			_ = p.Close()
		}
		if !errors.Is(err, ErrNotAdvertisable) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("bind %s, advertise %s: %v, want ErrNotAdvertisable that names %s", c.bind, c.advertise, err, c.names)
		}
	}
}

func TestAdvertisesWhatItIsTold(t *testing.T) {
	p, err := Listen(Config{Bind: "0.0.0.0:0", Advertise: "node1.purser.invalid:7001", AllowInsecure: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, addr := range []interface{ String() string }{p.Addr(), p.Raft().Addr()} {
		if got := addr.String(); got != "node1.purser.invalid:7001" {
			t.Errorf("advertised %s", got)
		}
	}
	q, err := Listen(Config{Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := checkAdvertisable(q.Addr().String()); err != nil {
		t.Errorf("advertises the address bound: %v", err)
	}
}

func TestWithoutTLSOnlyLoopback(t *testing.T) {
	const bind, advertise = "0.0.0.0:0", "node1:7001"
	if _, err := Listen(Config{Bind: bind, Advertise: advertise}); !errors.Is(err, ErrInsecure) || !strings.Contains(err.Error(), bind) {
		t.Errorf("%v, want ErrInsecure that names %s", err, bind)
	}
	secure := newSite(t, true).certificates(t, "n1")
	for name, cfg := range map[string]Config{
		"allowed":  {AllowInsecure: true},
		"with TLS": {TLS: secure, Resolve: func(string) string { return "" }, Member: func(string) bool { return false }},
	} {
		cfg.Bind, cfg.Advertise = bind, advertise
		p, err := Listen(cfg)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestConfigJoinsItsFaults(t *testing.T) {
	err := Config{Bind: "10.0.0.1:0", Advertise: ":1", ArrivalTimeout: -time.Second}.Validate()
	for _, want := range []string{"no host", "10.0.0.1:0", "-1s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if !errors.Is(err, ErrInsecure) || !errors.Is(err, ErrNotAdvertisable) {
		t.Errorf("%v is not both", err)
	}
	if err := (Config{Bind: "127.0.0.1:0", TLS: &nodetls.Config{}}).Validate(); err == nil || !strings.Contains(err.Error(), "Member") {
		t.Errorf("TLS without functions: %v", err)
	}
}

func TestListenSaysWhyItCannotBind(t *testing.T) {
	p := newSite(t, false).port(t, "n1", nil)
	if _, err := Listen(Config{Bind: p.Addr().String()}); err == nil || !strings.Contains(err.Error(), p.Addr().String()) {
		t.Errorf("address in use: %v", err)
	}
}
