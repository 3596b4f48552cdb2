package store

// sealer does for Keys what takes long, on a goroutine of its own: it writes
// frozen tables as runs, and after OpenKeys fills groups with the runs that were
// there.
type sealer struct {
	rows  keyRows
	fatal func(error)
	group *keyGroup // that the next run goes to, if it has room

	stripe  *keyStripe // that the next group goes to, if it fits
	filters wordBlooms // of stripe; Keys may still have those before the last group

	// Both have room for all that can be under way at a time, one run to be
	// written and one to be grouped, so neither side waits to send.
	jobs    chan sealJob
	done    chan sealResult
	stopped chan struct{}
}

// sealJob asks for the run of table, which does not change until the result is
// taken; or, without a table, for the group of a run.
type sealJob struct {
	table *keyTable
	run   *keyRun
	live  int // keys in all runs
}

// sealResult says which group the keys of the run are in. It is nil if they are
// not all in one.
type sealResult struct {
	sealJob
	group   *keyGroup
	filters wordBlooms // of its stripe
	err     error
}

func newSealer(rows keyRows, fatal func(error)) *sealer {
	return &sealer{
		rows:    rows,
		fatal:   fatal,
		jobs:    make(chan sealJob, 2),
		done:    make(chan sealResult, 2),
		stopped: make(chan struct{}),
	}
}

// loop runs until jobs is closed.
func (s *sealer) loop() {
	defer close(s.stopped)
	for job := range s.jobs {
		result := s.do(job)
		s.done <- result
		if result.err != nil {
			s.fatal(result.err)
		}
	}
}

func (s *sealer) do(job sealJob) sealResult {
	keys := int(job.run.keys)
	if s.group != nil && s.group.room < keys {
		if err := s.group.keep(s.rows, &s.filters); err != nil {
			return sealResult{sealJob: job, err: err}
		}
		s.group = nil
	}
	if s.group == nil {
		s.addGroup(keys, job.live)
	}
	g := s.group
	g.room -= keys
	result := sealResult{sealJob: job, group: g, filters: s.filters}
	add := func(hash uint64) { s.filters.add(g.at, hash) }
	whole := true
	if job.table != nil {
		result.err = job.run.write(s.rows, job.table, add)
	} else {
		whole, result.err = job.run.regroup(s.rows, add)
	}
	if !whole {
		result.group = nil
	} else {
		g.members = append(g.members, job.run)
	}
	if g.room < keys && result.err == nil { // there is none for the next run
		s.group = nil
		result.err = g.keep(s.rows, &s.filters)
	}
	return result
}

// addGroup makes a group that begins with a run of keys keys, when there are live
// keys in all runs. It has room for an eighth as many, or half of that, so that from
// 64 runs on the number of groups grows with the logarithm of that of the keys, and
// what a restart has to put into the last group again is little beside the rest.
func (s *sealer) addGroup(keys, live int) {
	room := max(groupRuns*keys, live/8)
	if has := s.filters.places * keysPerWord; s.filters.width == stripeGroups || has < room/2 || has > 2*room {
		s.stripe = new(keyStripe)
		s.filters = wordBlooms{places: wordsFor(room)}
	}
	s.filters = s.filters.beside(nil)
	s.group = &keyGroup{stripe: s.stripe, at: s.filters.width - 1, room: s.filters.places * keysPerWord}
}
