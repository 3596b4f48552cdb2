package compare

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"purser/bench"
)

// incidental lists what may differ between runs of the same measurement.
var incidental = []string{
	"config.targets", "config.admins", "config.dir", // where
	"config.key_prefix", "config.seed", // chance
	"config.slo", "config.verify", // what is asked of the result
}

// Difference is a setting that two results do not share.
type Difference struct {
	Name   string `json:"name"` // as in the result's JSON form, for example config.connections
	Before string `json:"before"`
	After  string `json:"after"`
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s against %s", d.Name, d.Before, d.After)
}

// Differences tells in which settings of machine and load two results differ,
// so that their figures do not compare. Addresses, directories, keys, seeds and
// objectives may differ.
func Differences(a, b bench.Result) []Difference {
	before, after := Settings(a), Settings(b)
	var names []string
	for name := range before {
		names = append(names, name)
	}
	for name := range after {
		if _, both := before[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var found []Difference
	for _, name := range names {
		if before[name] != after[name] && !slices.Contains(incidental, name) {
			found = append(found, Difference{name, orUnset(before[name]), orUnset(after[name])})
		}
	}
	return found
}

func orUnset(value string) string {
	if value == "" {
		return "not set"
	}
	return value
}

// Settings flattens what a result says about its machine and load, by the names
// of its JSON form: a field added there is compared without being named here.
func Settings(r bench.Result) map[string]string {
	// Its size in GiB is enough: some bytes depend on the boot.
	memory := fmt.Sprintf("%d GiB", (r.Machine.Memory+1<<29)>>30)
	r.Machine.Memory = 0
	text, err := json.Marshal(map[string]any{"machine": r.Machine, "config": r.Config, "loop": r.Loop})
	if err != nil {
		panic(err) // both were read from JSON
	}
	var tree map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		panic(err)
	}
	flat := make(map[string]string)
	flatten("", tree, flat)
	flat["machine.memory"] = memory
	return flat
}

func flatten(name string, value any, into map[string]string) {
	switch v := value.(type) {
	case map[string]any:
		for field, one := range v {
			flatten(strings.TrimPrefix(name+"."+field, "."), one, into)
		}
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, fmt.Sprint(one))
		}
		into[name] = strings.Join(all, ", ")
	case nil:
		into[name] = ""
	default:
		into[name] = fmt.Sprint(v)
	}
}
