package network

import "testing"

func TestPoliciesHaveNames(t *testing.T) {
	t.Parallel()
	for _, p := range []Policy{Full, Listen, None} {
		if got, ok := Parse(p.String()); !ok || got != p {
			t.Errorf("%v becomes %v, %t", p, got, ok)
		}
	}
	if got, ok := Parse(""); !ok || got != Full {
		t.Errorf("by default: %v, %t", got, ok)
	}
	if got, ok := Parse("some"); ok || got != None {
		t.Errorf("unknown: %v, %t", got, ok)
	}
}

func TestStricterPolicyWins(t *testing.T) {
	t.Parallel()
	for _, tc := range [][3]Policy{{Full, Listen, Listen}, {None, Full, None}, {Listen, None, None}, {Full, Full, Full}} {
		if got := tc[0].And(tc[1]); got != tc[2] {
			t.Errorf("%v and %v is %v", tc[0], tc[1], got)
		}
	}
}
