package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	skewUniform = "uniform"
	skewZipf    = "zipf:"
)

// parseSkew returns the exponent of a Zipf distribution, 0 for a uniform one.
func parseSkew(text string) (exponent float64, err error) {
	if text == skewUniform {
		return 0, nil
	}
	if number, ok := strings.CutPrefix(text, skewZipf); ok {
		if exponent, err = strconv.ParseFloat(number, 64); err == nil && exponent > 0 && exponent < 1 {
			return exponent, nil
		}
	}
	return 0, fmt.Errorf("skew %q: want uniform, or zipf:S with 0 < S < 1", text)
}

// picker draws the account numbers of payment number n of a job.
type picker func(rng *random, n uint64) (source, destination uint64)

// picker returns that of a run of c, whose values are valid. Where source and
// destination are of one family, the two numbers are never equal.
func (c Config) picker() picker {
	if c.Accounts == 1 {
		return func(*random, uint64) (source, destination uint64) { return 0, 0 }
	}
	draw := c.drawer()
	hot, share := uint64(c.Hot), c.HotPercent/100
	distinct := c.Source == c.Destination
	return func(rng *random, _ uint64) (source, destination uint64) {
		if hot > 0 && rng.fraction() < share {
			source = rng.below(hot)
		} else {
			source = draw(rng)
		}
		for destination = draw(rng); distinct && destination == source; {
			destination = draw(rng)
		}
		return source, destination
	}
}

// drawer returns what draws one account number.
func (c Config) drawer() func(rng *random) uint64 {
	accounts := uint64(c.Accounts)
	exponent, _ := parseSkew(c.Skew) // valid
	if exponent == 0 {
		return func(rng *random) uint64 { return rng.below(accounts) }
	}
	z := newZipf(accounts, exponent)
	return func(rng *random) uint64 { return z.rank(rng.fraction()) }
}

// zipf draws ranks below n, rank k with a probability in proportion to
// 1/(k+1)^theta, by the method of Gray et al.: Quickly Generating
// Billion-Record Synthetic Databases, SIGMOD 1994. It is exact for the first
// two ranks and close for the others.
type zipf struct {
	n                       uint64
	theta, zeta, alpha, eta float64
	second                  float64 // u*zeta below this: one of the first two
}

func newZipf(n uint64, theta float64) zipf {
	z := zipf{n: n, theta: theta, alpha: 1 / (1 - theta), second: 1 + math.Pow(0.5, theta)}
	for k := uint64(1); k <= n; k++ {
		z.zeta += math.Pow(float64(k), -theta)
	}
	z.eta = (1 - math.Pow(2/float64(n), 1-theta)) / (1 - z.second/z.zeta)
	return z
}

// rank returns the rank at u, from 0 to below 1, of the distribution.
func (z zipf) rank(u float64) uint64 {
	switch scaled := u * z.zeta; {
	case scaled < 1:
		return 0
	case scaled < z.second:
		return 1
	}
	return min(z.n-1, uint64(float64(z.n)*math.Pow(z.eta*u-z.eta+1, z.alpha)))
}
