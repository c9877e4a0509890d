package preview1

var schedFunctions = []function{{"sched_yield", "", schedYield}}

// schedYield gives the CPU away: (). It has no errors.
func schedYield(s *System, _ memory, _ arguments) Errno {
	s.yielder.yield()
	return ESUCCESS
}
