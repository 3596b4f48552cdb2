// Package compare tells whether one set of benchmark results is better than
// another, and how sure that is.
//
// Every figure is compared by ranks, because times are not distributed normally:
// the change is the median of the ratios of all pairs (Hodges and Lehmann), and
// its interval is read off the same ratios by the exact distribution of the
// Mann-Whitney statistic. Nothing is drawn at random: the same files always give
// the same answer.
//
// The package computes on results that were read before; it does no I/O.
package compare
