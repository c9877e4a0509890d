package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// chart is groups of horizontal bars.
type chart struct {
	title  string
	unit   string
	groups []group
	// ownScale gives every group its own scale, where groups differ by much.
	ownScale bool
}

type group struct {
	label string
	bars  []bar
}

// bar is a figure of one series; the segments are its parts, of which all but
// the first are drawn lighter.
type bar struct {
	label    string
	series   int // decides about the color
	segments []float64
	text     string // behind the bar
}

func (b bar) sum() float64 {
	var s float64
	for _, x := range b.segments {
		s += x
	}
	return s
}

func (g group) largest() float64 {
	var most float64
	for _, b := range g.bars {
		most = max(most, b.sum())
	}
	return most
}

// Measures of a chart in pixels.
const (
	chartWidth = 800
	labelWidth = 190
	textWidth  = 150 // behind the longest bar
	barHeight  = 15
	barStep    = 19
	groupStep  = 26 // for the group's label
	titleStep  = 34
)

// seriesColors tell series apart on light and on dark ground: the shims that
// do nothing are grey, then come runc, our launchers, and others.
var seriesColors = []string{"#8c959f", "#57606a", "#d9822b", "#54aeff", "#0969da", "#2da44e", "#a475f9", "#e85aad"}

// style makes text readable on light and on dark ground.
const style = `text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-weight:600;font-size:15px}.g{font-weight:600}` +
	`@media(prefers-color-scheme:dark){text{fill:#e6edf3}}`

// svg draws the chart.
func (c *chart) svg(w io.Writer) error {
	var b strings.Builder
	y := titleStep
	var most float64
	for _, g := range c.groups {
		most = max(most, g.largest())
	}
	for _, g := range c.groups {
		fmt.Fprintf(&b, `<text class="g" x="8" y="%d">%s</text>`+"\n", y+groupStep-9, escape(g.label))
		y += groupStep
		scale := most
		if c.ownScale {
			scale = g.largest()
		}
		for _, x := range g.bars {
			x.svg(&b, y, scale)
			y += barStep
		}
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" role="img">
<title>%[3]s</title>
<style>%[4]s</style>
<text class="t" x="8" y="22">%[3]s, %[5]s</text>
%[6]s</svg>
`, chartWidth, y+10, escape(c.title), style, escape(c.unit), b.String())
	return err
}

func (b bar) svg(w io.Writer, y int, scale float64) {
	fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, y+barHeight-3, escape(b.label))
	at := float64(labelWidth)
	for i, s := range b.segments {
		if scale == 0 {
			break
		}
		width := s / scale * (chartWidth - labelWidth - textWidth)
		opacity := 1.0
		if i > 0 {
			opacity = 0.45
		}
		fmt.Fprintf(w, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" fill-opacity="%g"/>`,
			at, y, width, barHeight, seriesColors[b.series%len(seriesColors)], opacity)
		at += width
	}
	fmt.Fprintf(w, `<text x="%.1f" y="%d">%s</text>`+"\n", at+6, y+barHeight-3, escape(b.text))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
