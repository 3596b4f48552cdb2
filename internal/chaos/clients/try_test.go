package clients

import (
	"context"
	"os"
	"strings"
	"strconv"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	apis := os.Getenv("TRY_APIS")
	if apis == "" {
		t.Skip()
	}
	d, _ := time.ParseDuration(os.Getenv("TRY_FOR"))
	p, _ := time.ParseDuration(os.Getenv("TRY_PAUSE"))
	seed, _ := strconv.ParseUint(os.Getenv("TRY_SEED"), 10, 64)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var admins []string
	if s := os.Getenv("TRY_ADMINS"); s != "" {
		admins = strings.Split(s, ",")
	}
	l, err := Start(ctx, Config{APIs: strings.Split(apis, ","), Admins: admins, Seed: seed, Pause: p})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	time.Sleep(d)
	t.Log(l.Window(began, time.Now()), l.Acknowledged())
	if err := l.Stop(ctx); err != nil {
		t.Error(err)
	}
	r, err := l.Check(ctx)
	t.Log(r)
	if err != nil {
		t.Error(err)
	}
}
