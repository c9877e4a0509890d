package resolve

import (
	"slices"
	"strconv"
	"strings"
)

// Protocols of services.
const (
	TCP = "tcp"
	UDP = "udp"
)

// wellKnown is for images without /etc/services, by both protocols but for what is
// never asked for by one.
const wellKnown = `
ftp 21/tcp
ssh 22/tcp
telnet 23/tcp
smtp 25/tcp
domain 53/tcp
domain 53/udp
http 80/tcp www
http 80/udp
pop3 110/tcp
ntp 123/udp
imap 143/tcp imap2
snmp 161/udp
ldap 389/tcp
https 443/tcp
https 443/udp
submissions 465/tcp
syslog 514/udp
submission 587/tcp
ldaps 636/tcp
imaps 993/tcp
pop3s 995/tcp
ms-sql-s 1433/tcp
mysql 3306/tcp
postgresql 5432/tcp postgres
amqp 5672/tcp
redis 6379/tcp
http-alt 8080/tcp
`

// Port finds the port of a service, by its name.
func (r Resolver) Port(service, protocol string) (port uint16, ok bool) {
	for _, text := range []string{readFile(r.Services), wellKnown} {
		for words := range lines(text, "#") {
			if len(words) < 2 {
				continue
			}
			number, proto, _ := strings.Cut(words[1], "/")
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil || proto != protocol {
				continue
			}
			if words[0] == service || slices.Contains(words[2:], service) {
				return uint16(n), true
			}
		}
	}
	return 0, false
}
