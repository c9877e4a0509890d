package resolve

import (
	"net/netip"
	"strings"
)

// lookupHosts finds a name in the text of hosts(5). One with addresses of other
// families only is not there.
func lookupHosts(text, name string, f Families) (a Answer, ok bool) {
	for words := range lines(text, "#") {
		addr, err := netip.ParseAddr(words[0])
		if err != nil || addr.Zone() != "" || !f.has(addr) || !contains(words[1:], name) {
			continue
		}
		if a.Canonical == "" {
			a.Canonical = words[1]
		}
		a.Addrs = append(a.Addrs, addr)
	}
	return a, len(a.Addrs) > 0
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
