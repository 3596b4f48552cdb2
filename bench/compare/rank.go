package compare

import (
	"math"
	"slices"
)

// interval is a change as a factor, with the bounds between which it lies with
// at least the confidence that was asked for.
type interval struct {
	factor    float64
	low, high float64
	ok        bool // false: too few values for bounds; low and high are 0
}

// change estimates by what factor the values of after exceed those of before,
// all of which are positive. The estimate is the median of all ratios, the
// bounds are the k-th from either end, where k follows from the distribution of
// the number of pairs in which after exceeds before (Lehmann, Nonparametrics,
// 1975, section 2.5). It assumes that the values on a side are independent.
func change(before, after []float64, confidence float64) interval {
	ratios := make([]float64, 0, len(before)*len(after))
	for _, b := range before {
		for _, a := range after {
			ratios = append(ratios, a/b)
		}
	}
	slices.Sort(ratios)
	i := interval{factor: middle(ratios)}
	if k := tail(len(before), len(after), (1-confidence)/2); k > 0 {
		i.low, i.high, i.ok = ratios[k-1], ratios[len(ratios)-k], true
	}
	return i
}

// middle returns the median of sorted values.
func middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func median(values []float64) float64 { return middle(slices.Sorted(slices.Values(values))) }

// exactUpTo is the most values on a side for which the distribution is counted
// out; beyond, its normal approximation is good to far more digits than matter.
const exactUpTo = 60

// tail returns the largest k for which P(U < k) is at most share, where U is the
// Mann-Whitney statistic of n and m values of one distribution. It is 0 if
// there is no such k above 0: the values are too few.
func tail(n, m int, share float64) int {
	if n > exactUpTo || m > exactUpTo {
		mean, deviation := float64(n*m)/2, math.Sqrt(float64(n*m*(n+m+1))/12)
		z := math.Sqrt2 * math.Erfinv(1-2*share)
		return max(0, int(mean-z*deviation))
	}
	ways := rankings(n, m)
	total := 0.0
	for _, w := range ways {
		total += w
	}
	below := 0.0
	for k, w := range ways {
		below += w
		if below/total > share {
			return k
		}
	}
	return 0
}

// rankings counts the orders of n and m values by their statistic U, the number
// of pairs that stand the wrong way round: the last value of an order is one of
// the n, and exceeds all m others, or it is one of the m, and exceeds none.
func rankings(n, m int) []float64 {
	// row[j] counts the orders of i and j values; i grows.
	row := make([][]float64, m+1)
	for j := range row {
		row[j] = []float64{1}
	}
	for i := 1; i <= n; i++ {
		for j := 1; j <= m; j++ {
			ways := make([]float64, i*j+1)
			for u, w := range row[j] { // of i-1 and j
				ways[u+j] += w
			}
			for u, w := range row[j-1] { // of i and j-1
				ways[u] += w
			}
			row[j] = ways
		}
	}
	return row[m]
}
