// Command pgcompare measures Purser beside PostgreSQL: the same machine, the
// same generator (purser bench run), the same work for a payment, in one run and
// in interleaved rounds.
//
// A payment is a unique idempotency key, a balance check, two accounts updated,
// a row, and a synchronous commit. PostgreSQL does it in one call of a stored
// function, prepared, over a pool of connections whose size is the fastest of
// several; a thin HTTP service stands before it. It is spared what Purser does
// besides: the history of accounts, a digest, a row for the outside world.
//
// Nothing is installed. PostgreSQL is a private cluster in a temporary directory,
// made with the initdb and postgres that are found, or a server named by -dsn.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// config is what the flags set.
type config struct {
	purser           string
	dsn, bin, owner  string
	dir              string
	accounts, rounds int
	connections      numbers
	pools            numbers
	duration, warmup time.Duration
}

// numbers is a flag: positive integers, with commas between them.
type numbers []int

func (n *numbers) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*n)), " ", ","), "[]")
}

func (n *numbers) Set(text string) error {
	*n = nil
	for part := range strings.SplitSeq(text, ",") {
		v, err := strconv.Atoi(part)
		if err != nil || v < 1 {
			return fmt.Errorf("%q is not a positive number", part)
		}
		*n = append(*n, v)
	}
	return nil
}

func main() {
	c := config{connections: numbers{64, 256}, pools: numbers{1, 2, 4, 8, 16, 32, 64}}
	flag.StringVar(&c.purser, "purser", "../../bin/purser", "the purser to measure, and to measure with")
	flag.StringVar(&c.dsn, "dsn", "", "use this PostgreSQL server (a connection string or URL) instead of a private cluster; a schema "+schemaName+" is made in it, and dropped")
	flag.StringVar(&c.bin, "bin", "", "directory of initdb and postgres (default: looked for)")
	flag.StringVar(&c.owner, "user", "postgres", "user that runs PostgreSQL when this is root; nobody if there is none of that name")
	flag.StringVar(&c.dir, "dir", os.TempDir(), "directory on the disk to measure, for the files of both servers")
	flag.IntVar(&c.accounts, "accounts", 100_000, "accounts")
	flag.IntVar(&c.rounds, "rounds", 5, "rounds; each measures every row on both servers")
	flag.Var(&c.connections, "connections", "connections of the generator, one row for each number")
	flag.Var(&c.pools, "pools", "connections to PostgreSQL to choose from by trying")
	flag.DurationVar(&c.duration, "duration", 5*time.Second, "measured time of one server's turn")
	flag.DurationVar(&c.warmup, "warmup", time.Second, "time before it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "pgcompare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) (err error) {
	if c.rounds < 1 || c.accounts < 2 {
		return errors.New("at least one round and two accounts are needed")
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	// The end of ctx must not keep anybody from tidying up.
	defer func() { err = errors.Join(err, db.close(context.WithoutCancel(ctx))) }()
	if err := db.prepare(ctx); err != nil {
		return err
	}
	l, err := startLedger(ctx, c.purser, c.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()

	cmp := &comparison{
		generator:   generator{binary: c.purser, dir: l.dir, duration: c.duration, warmup: c.warmup},
		database:    db,
		ledger:      l,
		log:         os.Stderr,
		connections: c.connections,
		pools:       c.pools,
		rounds:      c.rounds,
	}
	rows, err := cmp.run(ctx, loads(c.accounts))
	if err != nil {
		return err
	}
	return report(os.Stdout, db, rows)
}

func openDatabase(ctx context.Context, c config) (*database, error) {
	if c.dsn != "" {
		return &database{connection: c.dsn}, nil
	}
	programs, err := findPrograms(c.bin, usualPlaces)
	if err != nil {
		return nil, err
	}
	return startCluster(ctx, programs, c.dir, c.owner)
}
