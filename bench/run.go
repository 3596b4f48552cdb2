package bench

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Run puts the load of cfg on its targets, and returns what it measured and its
// verdict on that. The accounts must exist (Setup). Refused payments are
// counted, not errors; an error is a fault in cfg, a target that cannot be
// reached at the start, a reply that is not HTTP as a payment server speaks it,
// or a verification that could not be made. When ctx ends early, Run returns
// what was measured until then, which is invalid as a measurement.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}
	cfg = cfg.withDefaults()
	nodes, err := cfg.findNodes(ctx)
	if err != nil {
		return Result{}, err
	}
	defer nodes.client.close()
	r, err := newRun(cfg, nodes)
	if err != nil {
		return Result{}, err
	}
	return r.measure(ctx)
}

// run is one load with all that goes on beside it.
type run struct {
	cfg        Config
	job        *job
	nodes      *nodes
	events     []chaosEvent
	objectives []objective

	start         time.Time
	before, after moment       // of the measured time; the sampler's until it ends
	chaos         []ChaosEvent // the chaos goroutine's until it ends
}

// moment is what was read at one end of the measured time.
type moment struct {
	at        time.Time
	processor time.Duration // used by this process so far
	waited    time.Duration // for a processor, by its threads
	machine   time.Duration // used by everybody so far
	nodes     []sample
}

// newRun prepares a run of a valid cfg whose defaults are set.
func newRun(cfg Config, nodes *nodes) (*run, error) {
	r := &run{cfg: cfg, nodes: nodes}
	var err error
	if r.job, err = cfg.paymentJob(); err != nil {
		return nil, err
	}
	r.objectives, _ = parseObjectives(cfg.SLO) // valid
	r.events, _ = parseChaos(cfg.Chaos)
	if len(r.events) > 0 && len(nodes.bases) == 0 {
		return nil, errors.New("chaos needs the admin listeners of the nodes")
	}
	return r, nil
}

func (r *run) measure(ctx context.Context) (Result, error) {
	var audit *audit
	if r.cfg.Verify {
		var err error
		if audit, err = beginAudit(ctx, r.cfg, r.nodes); err != nil {
			return Result{}, err
		}
		defer audit.close()
	}

	beside, stop := context.WithCancel(ctx)
	defer stop()
	var wait sync.WaitGroup
	t, elapsed, err := r.job.run(ctx, func(start time.Time) {
		r.start = start
		wait.Go(func() { r.sample(beside) })
		wait.Go(func() { r.disturb(beside) })
		wait.Go(func() { r.report(beside) })
	})
	stop()
	wait.Wait()
	if err != nil {
		return Result{}, err
	}
	responses := t.responses()
	result := r.assemble(t, responses, elapsed)
	result.Interrupted = ctx.Err() != nil
	if audit != nil && !result.Interrupted {
		if result.Verification, err = audit.finish(ctx, t); err != nil {
			return Result{}, err
		}
	}
	result.judge(r.objectives, responses.Histogram)
	return result, nil
}

// paymentJob is the job of a run of c, whose values are valid.
func (c Config) paymentJob() (*job, error) {
	addresses, err := c.addresses()
	if err != nil {
		return nil, err
	}
	mix, err := parseMix(c.Mix)
	if err != nil {
		return nil, err
	}
	j := &job{
		addresses:   addresses,
		connections: c.Connections,
		threads:     c.Threads,
		payments: payments{
			host:        addresses[0],
			keyPrefix:   c.KeyPrefix,
			source:      newPattern(c.Source, c.Accounts),
			destination: newPattern(c.Destination, c.Accounts),
			amount:      c.Amount,
			currency:    c.Currency,
			batch:       c.Batch,
		},
		mix:        mix,
		pick:       c.picker(),
		items:      c.Batch,
		duplicates: c.Duplicates,
		rate:       c.Rate / float64(c.Batch),
		arrivals:   c.Arrivals,
		requests:   c.Requests,
		warmup:     int64(c.Warmup),
		patience:   int64(c.Patience),
		seed:       c.Seed,
		verify:     c.Verify,
		series:     newSeries(c.Threads),
	}
	if c.Requests == 0 {
		j.ends = int64(c.Warmup + c.Duration)
	}
	return j, nil
}

// sleepUntil waits for a time since the start, or until ctx ends.
func (r *run) sleepUntil(ctx context.Context, since time.Duration) {
	timer := time.NewTimer(time.Until(r.start.Add(since)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// sample reads both ends of the measured time; the load's end ends ctx.
func (r *run) sample(ctx context.Context) {
	r.before = r.look(ctx)
	if r.cfg.Warmup > 0 {
		r.sleepUntil(ctx, r.cfg.Warmup)
		r.before = r.look(ctx)
	}
	if r.job.ends > 0 {
		r.sleepUntil(ctx, time.Duration(r.job.ends))
	} else {
		<-ctx.Done()
	}
	r.after = r.look(ctx)
}

// sampleTimeout bounds how long the nodes may take to tell of themselves.
const sampleTimeout = 5 * time.Second

func (r *run) look(ctx context.Context) moment {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sampleTimeout)
	defer cancel()
	m := moment{at: time.Now(), processor: processorTime(), waited: waitedTime(), machine: machineTime()}
	m.nodes = r.nodes.samples(ctx)
	return m
}

// disturb makes the events of chaos happen.
func (r *run) disturb(ctx context.Context) {
	for _, e := range r.events {
		r.sleepUntil(ctx, e.at)
		if ctx.Err() != nil {
			return
		}
		r.chaos = append(r.chaos, e.do(ctx, r.nodes, r.start))
	}
}

// report tells of every second that has passed.
func (r *run) report(ctx context.Context) {
	if r.cfg.Progress == nil {
		return
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for told := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		seconds := r.job.series.done()
		for ; told < len(seconds); told++ {
			r.cfg.Progress(Progress{
				Second:  seconds[told],
				Of:      time.Duration(r.job.ends),
				Warming: time.Duration(told+1)*time.Second <= r.cfg.Warmup,
			})
		}
	}
}
