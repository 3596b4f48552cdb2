package report

// table is a table of the page. The first cell of a row is its heading; a table
// of names and values has no head.
type table struct {
	Caption string
	Head    []string
	Rows    [][]string
	Text    bool // cells are words rather than figures
	Small   bool // has room beside another
}

func (t *table) row(cells ...string) { t.Rows = append(t.Rows, cells) }
