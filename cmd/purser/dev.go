package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"purser/internal/ledger"
)

// devAccounts are the accounts that dev creates, with their opening balances in
// cents.
var devAccounts = []struct {
	id    string
	funds int64
}{
	{"alice", 1_000_000},
	{"bob", 250_000},
	{"merchant-7", 0},
	{"hot", 1_000_000_000_000},
}

func devCommand() *cobra.Command {
	var cfg serverConfig
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Serve from ./data with funded accounts, and print what to try",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := startServer(cfg)
			if err != nil {
				return err
			}
			if err := seed(cmd.Context(), s.stack); err != nil {
				return errors.Join(err, s.close())
			}
			if err := printTour(cmd.OutOrStdout(), s.apiAddr.String(), s.adminLn.Addr().String()); err != nil {
				return errors.Join(err, s.close())
			}
			return s.serveUntil(cmd.Context())
		},
	}
	cfg.bind(cmd)
	return cmd
}

// seed creates the accounts and pays the opening balance to those that have no
// history. Running it again, or after a crash in the middle, adds nothing twice.
func seed(ctx context.Context, s *stack) error {
	if err := awaitReady(ctx, s); err != nil {
		return err
	}
	currency, _ := ledger.ParseCurrency([]byte("USD"))
	for _, a := range devAccounts {
		id := []byte(a.id)
		err := s.engine.Execute(&ledger.Command{Kind: ledger.CreateAccount, Source: id, Currency: currency}, unseen)
		if err != nil {
			return fmt.Errorf("create %s: %w", a.id, err)
		}
		view, _, err := s.node.State().Account(id)
		if err != nil {
			return err
		}
		if a.funds == 0 || view.Postings > 0 {
			continue
		}
		err = s.engine.Execute(&ledger.Command{
			Kind: ledger.Pay, Key: []byte("dev-opening-balance-" + a.id),
			Source: ledger.AppendWorldID(nil, currency), Destination: id,
			Currency: currency, Amount: a.funds, ExpiresIn: ledger.DefaultExpiry,
			Reference: []byte("opening balance"),
		}, unseen)
		if err != nil {
			return fmt.Errorf("fund %s: %w", a.id, err)
		}
	}
	return nil
}

// unseen is the use of a result that nobody looks at.
func unseen(ledger.Result, uint64) {}

// awaitReady waits until the node leads and has replayed its log.
func awaitReady(ctx context.Context, s *stack) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for s.node.Ready() != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

const tour = `
Purser is up, with accounts alice, bob, merchant-7 and hot. Amounts are cents.

A payment. Run it again: the same answer, and no money moves.
  curl -si http://API/v1/payments -H 'Content-Type: application/json' -H 'Idempotency-Key: order-991' \
    -d '{"source":"alice","destination":"merchant-7","amount":"1250","currency":"USD"}'

An authorization (take the id from the answer), then its capture.
  curl -s http://API/v1/payments -H 'Content-Type: application/json' -H 'Idempotency-Key: order-992' \
    -d '{"source":"bob","destination":"merchant-7","amount":"5000","currency":"USD","capture":false}'
  curl -s http://API/v1/payments/PAYMENT_ID/capture -H 'Content-Type: application/json' -H 'Idempotency-Key: order-992-capture' \
    -d '{"amount":"3000"}'

Balances and history.
  curl -s http://API/v1/accounts/alice
  curl -s http://API/v1/accounts/alice/entries

The books, the node, the metrics.
  curl -s -X POST http://ADMIN/admin/v1/verify
  curl -s http://ADMIN/admin/v1/status
  curl -s http://ADMIN/metrics

Load on the hot account, from another terminal.
  ./bin/purser bench run --target http://API --source hot

`

func printTour(w io.Writer, api, admin string) error {
	_, err := io.WriteString(w, strings.NewReplacer("http://API", "http://"+api, "http://ADMIN", "http://"+admin).Replace(tour))
	return err
}
