package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// count writes a number with commas between its thousands.
func count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// rate writes what there is in a second, rounded where it is large.
func rate(x float64) string {
	if x > 0 && x < 10 {
		return strconv.FormatFloat(x, 'g', 2, 64)
	}
	return count(uint64(math.Round(max(x, 0))))
}

// short writes a number for the end of a tick: 50k instead of 50,000.
func short(x float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e6, "M"}, {1e3, "k"}} {
		if x >= unit.size {
			return strconv.FormatFloat(x/unit.size, 'g', 4, 64) + unit.name
		}
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// micros writes a time given in microseconds, with three digits and in the unit
// that suits it.
func micros(us float64) string {
	switch {
	case us <= 0:
		return "0"
	case us < 999.5:
		return digits(us) + " µs"
	case us < 999_500:
		return digits(us/1e3) + " ms"
	}
	return digits(us/1e6) + " s"
}

// digits writes x with three significant digits, or all those before the point.
func digits(x float64) string {
	decimals := max(0, 2-int(math.Floor(math.Log10(x))))
	text := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// span writes a time given in seconds: 34.5 s, 1m30s, 2h.
func span(s float64) string {
	if s < 100 {
		return digits(max(s, 1e-3)) + " s"
	}
	return duration(time.Duration(s * float64(time.Second)).Round(time.Second))
}

// duration is d.String without the zeros at its end.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func size(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size {
			return digits(n/unit.size) + " " + unit.name
		}
	}
	return fmt.Sprintf("%.0f bytes", n)
}

// percent writes a share of a whole.
func percent(part, whole uint64) string {
	switch {
	case whole == 0:
		return "–"
	case part == 0:
		return "0%"
	case part == whole:
		return "100%"
	}
	share := 100 * float64(part) / float64(whole)
	if share < 0.001 {
		return "<0.001%"
	}
	if share > 99.9 { // not quite all is what matters
		return strconv.FormatFloat(math.Floor(share*1e3)/1e3, 'f', -1, 64) + "%"
	}
	return strconv.FormatFloat(share, 'g', 3, 64) + "%"
}

// setting writes a field of a configuration: names that end in _ns are times.
func setting(name, value string) (string, string) {
	plain, isTime := strings.CutSuffix(name, "_ns")
	if ns, err := strconv.ParseInt(value, 10, 64); isTime && err == nil {
		value = duration(time.Duration(ns))
	}
	return strings.ReplaceAll(plain, "_", " "), value
}
