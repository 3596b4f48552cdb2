package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// box is the side of the square in which plots are drawn, before they are
// stretched.
const box = 1000

// chart is a figure of the page: a plot, its legend, and its figures as a table.
type chart struct {
	ID      string
	Title   string
	Note    string // what is to be seen, a sentence or two
	Summary string // for those who cannot see it
	XTitle  string
	Legend  []legend
	Table   table

	Bands  []band
	Marks  []mark
	Rows   int // of the labels of marks
	Curves []curve
	Hovers []hover

	x, y axis
}

// Stretches has a band of each kind, for the legend.
func (c *chart) Stretches() (kinds []band) {
	for _, b := range c.Bands {
		if !slices.ContainsFunc(kinds, func(k band) bool { return k.Class == b.Class }) {
			kinds = append(kinds, b)
		}
	}
	return kinds
}

// XTicks and YTicks are for the template.
func (c *chart) XTicks() []tick { return c.x.ticks }
func (c *chart) YTicks() []tick { return c.y.ticks }

// legend explains a curve. Key is a short piece of it.
type legend struct{ Class, Label, Key string }

// band is a stretch of the x axis with a meaning of its own, in percent.
type band struct {
	From, Width float64
	Class       string
	Label       string
}

// mark is an event at a place of the x axis, in percent.
type mark struct {
	At    float64
	Label string
	Row   int  // of the label, so that neighbours do not cover each other
	Left  bool // the label stands before the mark
}

// curve is a path in the square.
type curve struct {
	Class string
	Path  string
}

// hover is an upright strip of the square that tells its figures.
type hover struct {
	X, Width float64
	Text     string
}

// point is a place in the chart's units. One whose Y is not a number or not
// positive on a logarithmic axis is a gap.
type point struct{ X, Y float64 }

func (c *chart) gap(p point) bool { return math.IsNaN(p.Y) || c.y.log && p.Y <= 0 }

// line adds a curve through the points, in the order of their x, and explains it.
func (c *chart) line(class, label string, points []point) {
	var path strings.Builder
	pen := byte('M')
	for i, p := range points {
		if c.gap(p) {
			pen = 'M'
			continue
		}
		c.step(&path, pen, p)
		if pen == 'M' && (i+1 == len(points) || c.gap(points[i+1])) {
			path.WriteString("h0") // a point alone is drawn as a dot
		}
		pen = 'L'
	}
	c.add(path.String(), legend{class, label, "M2 5h24"})
}

// dots adds the points without lines between them. Each is a line of no length,
// whose round ends keep their shape however the plot is stretched.
func (c *chart) dots(class, label string, points []point) {
	var path strings.Builder
	for _, p := range points {
		if !c.gap(p) {
			c.step(&path, 'M', p)
			path.WriteString("h0")
		}
	}
	c.add(path.String(), legend{class, label, "M5 7h0M14 3h0M23 6h0"})
}

func (c *chart) add(path string, l legend) {
	if path == "" {
		return
	}
	c.Curves = append(c.Curves, curve{l.Class, path})
	c.Legend = append(c.Legend, l)
}

func (c *chart) step(path *strings.Builder, pen byte, p point) {
	path.WriteByte(pen)
	path.WriteString(coordinate(c.x.at(p.X)))
	path.WriteByte(' ')
	path.WriteString(coordinate(1 - c.y.at(p.Y)))
}

func coordinate(place float64) string { return strconv.FormatFloat(place*box, 'f', 1, 64) }

// shade adds a band from one x to another, if there is anything between them.
func (c *chart) shade(from, to float64, class, label string) {
	start, end := 100*c.x.at(from), 100*c.x.at(to)
	if end-start > 0.05 {
		c.Bands = append(c.Bands, band{start, end - start, class, label})
	}
}

// event adds a mark. The label of one that is close behind another goes a row
// down.
func (c *chart) event(at float64, label string) {
	const room = 40 // percent that a label takes on a narrow page
	place := 100 * c.x.at(at)
	m := mark{At: place, Label: label, Left: place > 100-room}
	for _, other := range c.Marks {
		if math.Abs(other.At-place) < 2*room && other.Row >= m.Row {
			m.Row = other.Row + 1
		}
	}
	c.Marks = append(c.Marks, m)
	c.Rows = max(c.Rows, m.Row+1)
}

// tell adds a strip from one x to another.
func (c *chart) tell(from, to float64, text string) {
	start, end := c.x.at(from)*box, c.x.at(to)*box
	c.Hovers = append(c.Hovers, hover{start, end - start, text})
}
