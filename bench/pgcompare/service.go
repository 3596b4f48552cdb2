package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/valyala/fasthttp"
)

const (
	statusCreated = fasthttp.StatusCreated
	statusReused  = fasthttp.StatusUnprocessableEntity

	// fresh: the row is of this call, not of an earlier one with the key.
	payCall    = "SELECT true AS fresh, p.* FROM pay($1, $2, $3, $4, $5) p"
	settleCall = "SELECT fresh, (p).* FROM settle($1, $2, $3, $4, $5, $6)"
)

// service answers the calls of the payments API that the load generator makes,
// from tables in PostgreSQL. It does nothing that PostgreSQL could be slower
// for: one prepared call per payment, over a pool of connections.
type service struct {
	pool     *pgxpool.Pool
	listener net.Listener
	server   *fasthttp.Server
	served   chan error
}

// startService serves on a port of its own choosing, over as many connections
// to PostgreSQL. stop ends it.
func startService(ctx context.Context, connection string, connections int) (*service, error) {
	config, err := pgxpool.ParseConfig(connection)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = int32(connections), int32(connections)
	for name, value := range sessionSettings {
		config.ConnConfig.RuntimeParams[name] = value
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		pool.Close()
		return nil, err
	}
	s := &service{pool: pool, listener: listener, served: make(chan error, 1)}
	s.server = &fasthttp.Server{
		Handler:               s.handle,
		NoDefaultServerHeader: true,
		MaxRequestBodySize:    16 << 20,
	}
	go func() { s.served <- s.server.Serve(listener) }()
	return s, nil
}

func (s *service) target() string { return "http://" + s.listener.Addr().String() }

// stop ends the service when its clients have gone.
func (s *service) stop() error {
	err := s.server.Shutdown()
	err = errors.Join(err, <-s.served)
	s.pool.Close()
	return err
}

func (s *service) handle(ctx *fasthttp.RequestCtx) {
	method, path := string(ctx.Method()), string(ctx.Path())
	account, isAccount := strings.CutPrefix(path, "/v1/accounts/")
	switch {
	case method == "POST" && path == "/v1/payments":
		s.pay(ctx)
	case method == "POST" && path == "/v1/payments/batch":
		s.payBatch(ctx)
	case method == "PUT" && isAccount:
		s.create(ctx, account)
	default:
		problem(ctx, fasthttp.StatusNotFound, method+" "+path)
	}
}

// unwatched is the context of all queries: one that can end would cost pgx a
// goroutine for each of them.
var unwatched = context.Background()

func (s *service) pay(ctx *fasthttp.RequestCtx) {
	o, err := parseOrder(ctx.PostBody())
	o.Key = string(ctx.Request.Header.Peek("Idempotency-Key"))
	if err == nil && o.Key == "" {
		err = errors.New("no Idempotency-Key")
	}
	if err != nil {
		problem(ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	p, err := s.transfer(o)
	if err != nil {
		problem(ctx, fasthttp.StatusServiceUnavailable, err.Error())
		return
	}
	if !p.Fresh {
		ctx.Response.Header.Set("Idempotent-Replayed", "true")
	}
	answer(ctx, p.Status, p.appendBody(nil))
}

// transfer makes the payment, or finds what came of its key before. An error is
// not an outcome: nothing was done.
func (s *service) transfer(o order) (payment, error) {
	p, err := scanPayment(s.pool.QueryRow(unwatched, payCall, o.Key, o.Source, o.Destination, o.amount, o.Currency))
	status, refused := refusal(err)
	if !refused {
		return p, err
	}
	p, err = scanPayment(s.pool.QueryRow(unwatched, settleCall, o.Key, status, o.Source, o.Destination, o.amount, o.Currency))
	if err == nil && !p.of(o) {
		p = payment{Status: statusReused, Fresh: true}
	}
	return p, err
}

// refusal tells the status of the refusal that an error of pay stands for, or
// 201 if it is that the key exists: there will be a row for settle to find.
func refusal(err error) (status int, ok bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return 0, false
	}
	switch pg.Code {
	case "P0402":
		return fasthttp.StatusPaymentRequired, true
	case "P0404":
		return fasthttp.StatusNotFound, true
	case "23505": // unique_violation
		return statusCreated, true
	}
	return 0, false
}

func scanPayment(row pgx.Row) (p payment, err error) {
	err = row.Scan(&p.Fresh, &p.Key, &p.Seq, &p.Status, &p.Source, &p.Destination, &p.Amount, &p.Currency,
		&p.SourcePosted, &p.SourceVersion, &p.DestinationPosted, &p.DestinationVersion, &p.CreatedAt)
	return p, err
}

// payBatch makes many payments: in one transaction and one round trip, and if
// one of them is refused, each on its own.
func (s *service) payBatch(ctx *fasthttp.RequestCtx) {
	orders, err := parseBatch(ctx.PostBody())
	if err != nil {
		problem(ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	payments, err := s.transferAll(orders)
	if _, refused := refusal(err); refused {
		payments = payments[:0]
		for _, o := range orders {
			p, failed := s.transfer(o)
			if err = failed; err != nil {
				break
			}
			payments = append(payments, p)
		}
	}
	if err != nil {
		problem(ctx, fasthttp.StatusServiceUnavailable, err.Error())
		return
	}
	body := []byte(`{"results":[`)
	for i, p := range payments {
		if i > 0 {
			body = append(body, ',')
		}
		member := `,"error":`
		if p.Status == statusCreated {
			member = `,"payment":`
		}
		body = fmt.Appendf(body, `{"status":%d%s`, p.Status, member)
		body = append(p.appendBody(body), '}')
	}
	answer(ctx, fasthttp.StatusOK, append(body, "]}"...))
}

func (s *service) transferAll(orders []order) ([]payment, error) {
	var batch pgx.Batch
	for _, o := range orders {
		batch.Queue(payCall, o.Key, o.Source, o.Destination, o.amount, o.Currency)
	}
	results := s.pool.SendBatch(unwatched, &batch)
	payments := make([]payment, 0, len(orders))
	for range orders {
		p, err := scanPayment(results.QueryRow())
		if err != nil {
			return nil, errors.Join(err, results.Close())
		}
		payments = append(payments, p)
	}
	return payments, results.Close()
}

// create makes an account; the same again is harmless.
func (s *service) create(ctx *fasthttp.RequestCtx, id string) {
	var account struct {
		Currency string `json:"currency"`
	}
	if err := json.Unmarshal(ctx.PostBody(), &account); err != nil || account.Currency == "" || !plain(id) {
		problem(ctx, fasthttp.StatusBadRequest, "account "+id)
		return
	}
	done, err := s.pool.Exec(unwatched, "INSERT INTO accounts (id, currency) VALUES ($1, $2) ON CONFLICT DO NOTHING", id, account.Currency)
	switch {
	case err != nil:
		problem(ctx, fasthttp.StatusServiceUnavailable, err.Error())
	case done.RowsAffected() == 1:
		answer(ctx, statusCreated, []byte(`{"id":"`+id+`"}`))
	default:
		answer(ctx, fasthttp.StatusOK, []byte(`{"id":"`+id+`"}`))
	}
}

func answer(ctx *fasthttp.RequestCtx, status int, body []byte) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}

func problem(ctx *fasthttp.RequestCtx, status int, detail string) {
	answer(ctx, status, appendProblem(nil, status, detail))
	ctx.SetContentType("application/problem+json")
}
