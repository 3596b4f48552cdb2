package report

import (
	"bytes"
	"errors"
	"image"
	"image/draw"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"

	"purser/bench/compare"
)

// look tells of the page as it is laid out: what a reader would stumble over.
const look = `(() => {
  const shown = e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0 && getComputedStyle(e).visibility === 'visible' };
  const found = {Plots: 0, Curves: 0, Faults: []};
  const fault = text => found.Faults.push(text);
  const name = e => e.className + ' "' + e.textContent.trim().slice(0, 40) + '"';

  if (document.documentElement.scrollWidth > innerWidth) fault('the page is wider than the window');
  for (const area of document.querySelectorAll('.area')) {
    const svg = area.querySelector('svg'), box = area.getBoundingClientRect();
    if (shown(svg) && box.width > 150 && box.height > 150) found.Plots++;
    for (const path of area.querySelectorAll('path')) {
      const r = path.getBoundingClientRect();
      if (getComputedStyle(path).stroke === 'none') fault('a curve without color');
      if (r.left < box.left - 6 || r.right > box.right + 6 || r.top < box.top - 6 || r.bottom > box.bottom + 6) fault('a curve leaves its plot');
      if (path.getTotalLength() > 100 || /h0/.test(path.getAttribute('d'))) found.Curves++;
    }
  }
  // Labels are in the window, large enough, and do not cover each other.
  for (const group of document.querySelectorAll('.x, .y, .events, .legend')) {
    const labels = [...group.children].filter(shown);
    if (!labels.length) fault('no labels in ' + group.className);
    labels.forEach((a, i) => {
      const r = a.getBoundingClientRect();
      if (r.left < 0 || r.right > innerWidth) fault(name(a) + ' is outside the window');
      for (const b of labels.slice(i + 1)) {
        const s = b.getBoundingClientRect();
        if (r.left < s.right + 4 && s.left < r.right + 4 && r.top < s.bottom - 2 && s.top < r.bottom - 2) fault(name(a) + ' is too close to ' + name(b));
      }
    });
  }
  // Texts can be read: size, and contrast by WCAG 2.
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const color = text => text.match(/[\d.]+/g).map(Number);
  const luminance = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const behind = e => { for (; e; e = e.parentElement) { const c = color(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c } return [255, 255, 255] };
  const seen = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !shown(e)) continue;
    const style = getComputedStyle(e), a = luminance(color(style.color)), b = luminance(behind(e));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5 && !seen.has(e.className)) { seen.add(e.className); fault(name(e) + ' has a contrast of ' + contrast.toFixed(1)) }
    if (parseFloat(style.fontSize) < 12) fault(name(e) + ' is smaller than 12 px');
  }
  // What a screen reader needs.
  for (const svg of document.querySelectorAll('svg[role=img]'))
    for (const id of svg.getAttribute('aria-labelledby').split(' '))
      if (!document.getElementById(id)?.textContent.trim()) fault('a plot without ' + id);
  if (document.querySelectorAll('.chart').length !== document.querySelectorAll('.chart details table tbody tr:first-child').length) fault('a plot without a table');
  if (document.querySelectorAll('h1').length !== 1) fault('not one heading');
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  if (new Set(ids).size !== ids.length) fault('an id twice');
  return found;
})()`

// views are windows that a page is read in.
var views = []struct {
	name   string
	width  int
	scheme string
}{
	{"wide-light", 1280, "light"},
	{"narrow-dark", 360, "dark"},
	{"wide-dark", 1280, "dark"},
	{"narrow-light", 360, "light"},
	{"middle-light", 760, "light"},
}

// The page is read in a browser without a network, wide and narrow, light and
// dark: plots are drawn, nothing is fetched, nothing complains, and every text
// can be read. Pictures of all of it are kept with -artifacts.
func TestPageInBrowser(t *testing.T) {
	b := startBrowser(t)
	dir := t.ArtifactDir()
	for _, page := range []struct {
		name   string
		write  func(w io.Writer) error
		curves int // in all plots together
		views  int
	}{
		{"run", func(w io.Writer) error { return Write(w, sample("run.json", 1, 1)) }, 6, len(views)},
		{"two", func(w io.Writer) error {
			return WriteTwo(w, sample("before.json", 1, 1.3), sample("after.json", 2, 1))
		}, 9, len(views)},
		{"open", func(w io.Writer) error { return Write(w, openSample()) }, 8, 2},
		{"long", func(w io.Writer) error { return Write(w, longSample()) }, 5, 2},
	} {
		file := filepath.Join(dir, page.name+".html")
		keep(t, file, page.write)
		for _, view := range views[:page.views] {
			t.Run(page.name+"/"+view.name, func(t *testing.T) {
				b.t = t
				b.media("screen", view.scheme)
				b.show(file, view.width, 900)
				var found struct {
					Plots, Curves int
					Faults        []string
				}
				b.eval(look, &found)
				for _, fault := range found.Faults {
					t.Error(fault)
				}
				if found.Plots != 3 || found.Curves != page.curves {
					t.Errorf("%d plots with %d curves, want 3 with %d", found.Plots, found.Curves, page.curves)
				}
				if len(b.complaints) > 0 {
					t.Errorf("the page complained, or asked for more: %q", b.complaints)
				}
				picture := b.screenshot()
				keep(t, filepath.Join(dir, page.name+"-"+view.name+".png"), func(w io.Writer) error {
					_, err := w.Write(picture)
					return err
				})
				checkPicture(t, picture, view.width, view.scheme == "dark")
			})
		}
		b.t = t
		b.media("print", "dark")
		paper := b.print()
		if !bytes.HasPrefix(paper, []byte("%PDF-")) {
			t.Errorf("%s prints as %.20q", page.name, paper)
		}
		keep(t, filepath.Join(dir, page.name+".pdf"), func(w io.Writer) error {
			_, err := w.Write(paper)
			return err
		})
	}
}

// keep writes a file.
func keep(t *testing.T, file string, write func(w io.Writer) error) {
	t.Helper()
	f, err := os.Create(file)
	if err == nil {
		err = errors.Join(write(f), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// checkPicture sees that the corner of the page is light or dark, and that
// curves of the plots' first color are on it.
func checkPicture(t *testing.T, data []byte, width int, dark bool) {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	picture := image.NewRGBA(decoded.Bounds())
	draw.Draw(picture, picture.Rect, decoded, picture.Rect.Min, draw.Src)
	if size := picture.Rect; size.Dx() != width || size.Dy() < 1000 {
		t.Errorf("the picture has %v", size)
	}
	if red := picture.RGBAAt(2, 2).R; (red < 0x80) != dark {
		t.Errorf("red at the corner is %#x, in the dark: %v", red, dark)
	}
	blue := 0
	for i := 0; i < len(picture.Pix); i += 4 {
		if red, b := int(picture.Pix[i]), int(picture.Pix[i+2]); b > red+0x50 {
			blue++
		}
	}
	if blue < width {
		t.Errorf("%d pixels of a first curve", blue)
	}
}

// longSample is a run of two hours.
func longSample() compare.Run {
	r := sample("long.json", 4, 1)
	first := r.Result.Series
	r.Result.Series = nil
	for at := range 7265 {
		s := first[5+at%25]
		s.At = at
		r.Result.Series = append(r.Result.Series, s)
	}
	r.Result.Elapsed = 7200
	return r
}
