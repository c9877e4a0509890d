package resolve

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Bounds and defaults of resolv.conf(5).
const (
	maxServers  = 3
	maxNdots    = 15
	maxTimeout  = 30
	maxAttempts = 5
	dnsPort     = 53
)

// conf is what resolv.conf(5) says.
type conf struct {
	servers  []netip.AddrPort
	search   []string
	ndots    int
	timeout  time.Duration
	attempts int
	rotate   bool
	// tcp does without UDP ("use-vc").
	tcp bool
}

func parseConf(text string) *conf {
	c := &conf{ndots: 1, timeout: 5 * time.Second, attempts: 2}
	for words := range lines(text, "#;") {
		switch arguments := words[1:]; words[0] {
		case "nameserver":
			c.addServer(arguments)
		case "domain", "search": // the last one counts
			c.search = nil
			for _, domain := range arguments {
				if domain = strings.Trim(domain, "."); domain != "" {
					c.search = append(c.search, domain)
				}
			}
		case "options":
			for _, o := range arguments {
				c.option(o)
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return c
}

// addServer takes an address. One with a zone is of no use: there is no way here to
// find the interface.
func (c *conf) addServer(words []string) {
	if len(words) == 0 || len(c.servers) == maxServers {
		return
	}
	if a, err := netip.ParseAddr(words[0]); err == nil && a.Zone() == "" {
		c.servers = append(c.servers, netip.AddrPortFrom(a.Unmap(), dnsPort))
	} else if at, err := netip.ParseAddrPort(words[0]); err == nil && at.Addr().Zone() == "" {
		c.servers = append(c.servers, at) // as some write it, with a port
	}
}

func (c *conf) option(o string) {
	name, value, _ := strings.Cut(o, ":")
	n, err := strconv.Atoi(value)
	number := err == nil && n >= 0
	switch {
	case name == "ndots" && number:
		c.ndots = min(n, maxNdots)
	case name == "timeout" && number:
		c.timeout = time.Duration(min(max(n, 1), maxTimeout)) * time.Second
	case name == "attempts" && number:
		c.attempts = min(max(n, 1), maxAttempts)
	case name == "rotate":
		c.rotate = true
	case name == "use-vc", name == "usevc", name == "tcp":
		c.tcp = true
	}
}

// candidates are the full names to ask for, in their order.
func (c *conf) candidates(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	var list []string
	for _, domain := range c.search {
		if len(name)+1+len(domain) <= maxName {
			list = append(list, name+"."+domain+".")
		}
	}
	if strings.Count(name, ".") >= c.ndots {
		return append([]string{name + "."}, list...)
	}
	return append(list, name+".")
}
