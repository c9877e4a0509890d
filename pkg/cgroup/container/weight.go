package container

import "math"

// cpuWeight is what shares of cgroup v1 (2 to 262144, usually 1024) are on v2 (1
// to 10000, usually 100). The curve goes through the ends and through what is
// usual:
//
//	10^((log2(shares)² + 125·log2(shares))/612 - 7/34)
//
// It is runc's, and Kubernetes reckons with it.
func cpuWeight(shares uint64) uint64 {
	const most = 10_000
	switch {
	case shares <= leastShares:
		return 1
	case shares >= mostShares:
		return most
	}
	log := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (log*log+125*log)/612-7.0/34)))
}

// ioWeight is what a weight of blkio (10 to 1000) is on v2 (1 to 10000). For less
// it is a number that the kernel refuses.
func ioWeight(weight uint16) uint64 {
	return 1 + (uint64(weight)-10)*9999/990
}
