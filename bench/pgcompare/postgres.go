package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

//go:embed schema.sql
var schema string

// clusterSettings are those of the private server: durable like Purser, and
// otherwise as kind to this load as 24 GiB of memory allow.
var clusterSettings = []string{
	"fsync=on",
	"synchronous_commit=on",
	"full_page_writes=on",
	"shared_buffers=1GB",
	"max_wal_size=16GB", // no checkpoint is forced while the rounds last
	"min_wal_size=1GB",
	"wal_buffers=64MB",
	"checkpoint_timeout=15min",
	"wal_level=minimal",
	"max_wal_senders=0",
	"max_connections=300",
	"autovacuum=on",
	"jit=off",
	"huge_pages=try",
}

// sessionSettings hold for every connection, also those to a server that -dsn
// names.
var sessionSettings = map[string]string{
	"search_path":        schemaName,
	"synchronous_commit": "on",
}

const schemaName = "purser_bench"

// shownSettings are read from the server and printed.
var shownSettings = []string{
	"server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "wal_level",
	"shared_buffers", "wal_buffers", "max_wal_size", "checkpoint_timeout", "commit_delay", "autovacuum", "jit",
}

// database is a PostgreSQL server with the tables of the comparison in it.
type database struct {
	connection string
	settings   []string // name=value, as the server tells
	prepared   bool     // the tables are there, and ours
	cluster    *process // nil: not ours
	dir        string   // of the cluster
}

// errNone says what to do where there is no PostgreSQL.
var errNone = errors.New(`no PostgreSQL found: no initdb and postgres on PATH, nor below ` + strings.Join(usualPlaces, ", ") + `
install it (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql),
or name the directory of its programs with -bin, or a running server with -dsn`)

// usualPlaces are where packages put the programs of a server.
var usualPlaces = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin",
}

// findPrograms returns the directory of initdb and postgres: the one given, or
// that on PATH, or of the newest version in the places.
func findPrograms(given string, places []string) (string, error) {
	if given != "" {
		if !hasPrograms(given) {
			return "", fmt.Errorf("%s has no initdb and postgres", given)
		}
		return given, nil
	}
	if path, err := exec.LookPath("initdb"); err == nil && hasPrograms(filepath.Dir(path)) {
		return filepath.Dir(path), nil
	}
	for _, place := range places {
		found, _ := filepath.Glob(place) // the patterns are well-formed
		found = slices.DeleteFunc(found, func(dir string) bool { return !hasPrograms(dir) })
		if len(found) > 0 {
			return slices.MaxFunc(found, func(a, b string) int { return majorVersion(a) - majorVersion(b) }), nil
		}
	}
	return "", errNone
}

func hasPrograms(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// majorVersion is the first number in a directory's name, 0 if there is none.
func majorVersion(dir string) int {
	digit := func(r rune) bool { return r >= '0' && r <= '9' }
	fields := strings.FieldsFunc(dir, func(r rune) bool { return !digit(r) })
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}

// startCluster makes a cluster in a directory below parent and starts it. It
// listens on a socket in that directory only.
func startCluster(ctx context.Context, programs, parent, owner string) (*database, error) {
	dir, err := os.MkdirTemp(parent, "pgcompare-")
	if err != nil {
		return nil, err
	}
	d := &database{dir: dir, connection: fmt.Sprintf("host=%s user=postgres database=postgres", dir)}
	if err := d.start(ctx, programs, owner); err != nil {
		return nil, errors.Join(err, d.close(ctx))
	}
	return d, nil
}

func (d *database) start(ctx context.Context, programs, owner string) error {
	credential, err := unprivileged(owner)
	if err != nil {
		return err
	}
	if credential != nil {
		if err := os.Chown(d.dir, int(credential.Uid), int(credential.Gid)); err != nil {
			return err
		}
	}
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(programs, name), args...)
		cmd.Dir = d.dir // the current one may be closed to that user
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		return cmd
	}
	data := filepath.Join(d.dir, "data")
	initdb := command("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", "--encoding=UTF8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	args := []string{"-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories=" + d.dir}
	for _, setting := range clusterSettings {
		args = append(args, "-c", setting)
	}
	if d.cluster, err = launch(command("postgres", args...), nil); err != nil {
		return err
	}
	return d.cluster.await(ctx, func() error { return d.do(ctx, func(*pgx.Conn) error { return nil }) })
}

// unprivileged returns the credential of the owner, or nil where the current
// user will do: PostgreSQL refuses to run as root.
func unprivileged(owner string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(owner)
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no other user for it: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// prepare makes the tables and refuses a server that would not keep what it
// acknowledges.
func (d *database) prepare(ctx context.Context) error {
	return d.do(ctx, func(conn *pgx.Conn) error {
		for _, name := range shownSettings {
			var value string
			if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
				return err
			}
			if name == "fsync" && value != "on" {
				return errors.New("fsync is off: what the server acknowledges may be lost, and is not worth comparing")
			}
			d.settings = append(d.settings, name+"="+value)
		}
		_, err := conn.Exec(ctx, "CREATE SCHEMA "+schemaName+";"+schema)
		d.prepared = err == nil
		return err
	})
}

// payments counts the rows of payments whose keys start with prefix.
func (d *database) payments(ctx context.Context, prefix string) (n int64, err error) {
	err = d.do(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT count(*) FROM payments WHERE status = 201 AND starts_with(key, $1)", prefix).Scan(&n)
	})
	return n, err
}

// do runs f on a connection of its own.
func (d *database) do(ctx context.Context, f func(*pgx.Conn) error) error {
	config, err := pgx.ParseConfig(d.connection)
	if err != nil {
		return err
	}
	for name, value := range sessionSettings {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	return errors.Join(f(conn), conn.Close(ctx))
}

// close removes the tables, or the whole cluster if it is ours.
func (d *database) close(ctx context.Context) error {
	switch {
	case d.dir != "":
		if d.cluster != nil {
			d.cluster.stop(syscall.SIGINT) // PostgreSQL's fast shutdown
		}
		return os.RemoveAll(d.dir)
	case d.prepared:
		return d.do(ctx, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "DROP SCHEMA "+schemaName+" CASCADE")
			return err
		})
	}
	return nil
}
