// Package report draws the result of a benchmark run, or of two beside each
// other, as one HTML page: the verdict first, then plots with the figures beside
// them as tables, then all that is needed to repeat the run.
//
// The page is one file. It has no script, asks no network for anything (its own
// content security policy forbids it), follows the reader's choice of light or
// dark, and can be printed. Plots are SVG without text, stretched to the width of
// the page; their labels are HTML, so that they keep their size on a narrow one.
package report
