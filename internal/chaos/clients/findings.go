package clients

import (
	"errors"
	"fmt"
	"strings"
)

// fault names a kind of contradiction.
type fault string

const (
	faultAnswer       fault = "an answer that no client should get"
	faultLost         fault = "acknowledged, but not in the journal"
	faultUnasked      fault = "in the journal, but nobody was told"
	faultDoubled      fault = "one place of the order acknowledged twice"
	faultMismatch     fault = "the journal says something else than the acknowledgement"
	faultChain        fault = "the entries of an account do not follow from each other"
	faultOverdrawn    fault = "a balance below the overdraft limit"
	faultGap          fault = "a place in the ledger's order that nobody knows of"
	faultRules        fault = "accepted against the rules"
	faultRefusal      fault = "refused without reason"
	faultOutcome      fault = "an outcome that the rules do not lead to"
	faultClock        fault = "log time runs backwards"
	faultReplay       fault = "a retry was not answered with the first answer"
	faultReuse        fault = "a key was taken for another request"
	faultResolution   fault = "a key remembers something else than its answer"
	faultNotApplied   fault = "applied after it was answered 503 only"
	faultRealTime     fault = "ordered before what was answered earlier"
	faultStaleRead    fault = "a linearizable read of the past"
	faultNeverWas     fault = "a read of a state that never was"
	faultTorn         fault = "a list that shows accounts at different moments"
	faultIndex        fault = "log indexes contradict the ledger's order"
	faultBehindIndex  fault = "a read behind the index that it is said to reflect"
	faultBack         fault = "a client that asks for what it saw is shown less"
	faultNodes        fault = "nodes differ"
	faultFinal        fault = "a balance that is not the end of its history"
	faultSum          fault = "the sum of all balances is not 0"
	faultLinearizable fault = "a history that is not linearizable"
)

// shownExamples bounds what is told of one kind of contradiction.
const shownExamples = 4

// findings are the contradictions that a check has met. They are for one goroutine.
type findings struct {
	kinds  []fault // in the order in which they were met first
	counts map[fault]int
	told   map[fault][]string
}

func (f *findings) add(kind fault, format string, args ...any) {
	if f.counts == nil {
		f.counts, f.told = map[fault]int{}, map[fault][]string{}
	}
	if f.counts[kind] == 0 {
		f.kinds = append(f.kinds, kind)
	}
	f.counts[kind]++
	if len(f.told[kind]) < shownExamples {
		f.told[kind] = append(f.told[kind], fmt.Sprintf(format, args...))
	}
}

// err joins an error for each kind of contradiction; nil if there is none.
func (f *findings) err() error {
	var all []error
	for _, kind := range f.kinds {
		text := strings.Join(f.told[kind], "\n    ")
		all = append(all, fmt.Errorf("%s (%d times):\n    %s", kind, f.counts[kind], text))
	}
	return errors.Join(all...)
}
